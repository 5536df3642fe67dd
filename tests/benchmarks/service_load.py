"""Measure a service under load: many clients at once, then one job of very many frames.

    python tests/benchmarks/service_load.py [--jobs 1000] [--clients 50] [--frames 100000]
        [--ledger URL] [--workers N]

Clients submit jobs of 1 to 20 small pictures, and then as many again. Meanwhile somebody lists the
jobs. Then a folder of hard links is submitted as one job, listed and cancelled. Prints how long answers
take, and the memory and processor seconds of the service's process; the load of the machine stands beside them.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import Pipe, get_context
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Self

import httpx
import psutil
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "plugins" / "examples"
MOST_UNITS = 20
SECONDS = 1800
MOST_LINKS = 60_000
"""Names that one file has at most; ext4 allows 65,000."""


class Lister:
    """Lists the jobs again and again, in a process that has nothing else to do.

    seconds: that each answer took.
    """

    def __init__(self, base: str) -> None:
        self.seconds: list[float] = []
        self._base = base

    def __enter__(self) -> Self:
        self._pipe, other = Pipe()
        self._process = get_context("spawn").Process(target=list_jobs, args=(self._base, other))
        self._process.start()
        self._pipe.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.send("end")
        self.seconds = self._pipe.recv()
        self._process.join()

    def __str__(self) -> str:
        return quantiles(self.seconds)


def list_jobs(base: str, pipe: Connection) -> None:
    """List the jobs until told to end; then send how long each answer took."""
    seconds: list[float] = []
    with httpx.Client(base_url=base, timeout=60, trust_env=False) as client:
        pipe.send("ready")
        while not pipe.poll(0.05):
            began = time.perf_counter()
            client.get("/api/jobs").raise_for_status()
            seconds.append(time.perf_counter() - began)
    pipe.send(seconds)


def quantiles(seconds: list[float]) -> str:
    ordered = sorted(seconds)
    p50, p99 = (ordered[round(share * (len(ordered) - 1))] for share in (0.5, 0.99))
    return f"p50 {1000 * p50:.0f} ms, p99 {1000 * p99:.0f} ms, most {1000 * ordered[-1]:.0f} ms"


class Service:
    """A service that runs. process: its main one."""

    def __init__(self, base: str, process: psutil.Process, folder: Path) -> None:
        self.base, self._process, self.folder = base, process, folder

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.base, timeout=300, trust_env=False)

    def figures(self) -> str:
        memory, times = self._process.memory_info().rss / 2**20, self._process.cpu_times()
        cpu = times.user + times.system
        return f"{memory:.0f} MiB, {cpu:.1f} s of processor, load {os.getloadavg()[0]:.1f}"


@contextmanager
def serving(folder: Path, ledger: str, workers: int) -> Iterator[Service]:
    for name in ("in", "out"):
        (folder / name).mkdir()
    roots = [f"--root={name}={folder / name}" for name in ("in", "out")]
    pool = ["--workers", str(workers)] if workers else []
    command = [sys.executable, "-m", "farm", "--plugins-dir", str(EXAMPLES), "serve"]
    with subprocess.Popen(
        [*command, "--port", "0", "--ledger", ledger, *roots, *pool],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        base = process.stderr.readline().split()[-1].rstrip("/")
        try:
            yield Service(base, psutil.Process(process.pid), folder)
        finally:
            process.terminate()


def draw(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        picture = folder / f"{number:06d}.png"
        if number % MOST_LINKS == 0:
            first = picture
            Image.new("RGB", (8, 8), "red").save(first)
        else:
            picture.hardlink_to(first)


def load(service: Service, jobs: int, clients: int, name: str) -> None:
    """Submit jobs at once and wait until all have ended."""
    chance, taken = Random(name), list[float]()
    sizes = [chance.randint(1, MOST_UNITS) for _ in range(jobs)]

    def submit(numbers: range) -> None:
        with service.client() as client:
            for number in numbers:
                folder = f"{sizes[number]:02d}"
                body = {"task": "invert", "inputs": [f"in/{folder}/"], "token": f"{name}-{number}"}
                began = time.perf_counter()
                answer = patient(
                    lambda body=body, n=number: client.post(
                        "/api/jobs", json=body | {"output": f"out/{name}-{n}/"}
                    )
                )
                answer.raise_for_status()
                taken.append(time.perf_counter() - began)

    began = time.monotonic()
    with Lister(service.base) as lister, service.client() as client:
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(submit, [range(i, jobs, clients) for i in range(clients)]))
        submitted = time.monotonic() - began
        counts = wait(client, lambda jobs: not unfinished(jobs))
        finished = time.monotonic() - began
    print(f"{name}: {jobs:,} jobs of {sum(sizes):,} frames by {clients} clients")
    print(f"  submitted in {submitted:.0f} s ({quantiles(taken)}), finished in {finished:.0f} s")
    print(f"  list: {lister}")
    print(f"  {counts}; {service.figures()}", flush=True)


def patient(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Return an answer, asking again while the service is busy."""
    while (answer := ask()).status_code == 429:
        time.sleep(0.2)
    return answer


def unfinished(jobs: dict[str, int]) -> int:
    return sum(jobs.get(state, 0) for state in ("planning", "queued", "running", "paused"))


def wait(client: httpx.Client, is_over: Callable[[dict[str, int]], bool]) -> dict[str, int]:
    """Return the numbers of jobs by state as soon as this is true of them."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        jobs: dict[str, int] = client.get("/api/farm").json()["jobs"]
        if is_over(jobs):
            return {state: count for state, count in jobs.items() if count}
        time.sleep(0.2)
    raise TimeoutError(jobs)


def large(service: Service, frames: int) -> None:
    """Submit one job of very many frames, look at it and cancel it."""
    draw(service.folder / "in" / "large", frames)
    body = {"task": "invert", "inputs": ["in/large/"], "output": "out/large/"}
    with Lister(service.base) as lister, service.client() as client:

        def timed(what: str, method: str, path: str, **options: Any) -> httpx.Response:
            began = time.perf_counter()
            answer = client.request(method, path, **options)
            print(f"  {what}: {time.perf_counter() - began:.2f} s ({answer.status_code})")
            return answer

        print(f"one job of {frames:,} frames; {service.figures()}")
        job = timed("submit", "POST", "/api/jobs", json=body).json()["id"]
        wait(client, lambda jobs: not jobs.get("planning"))
        print(f"  it runs; {service.figures()}")
        for page in ("units", f"units?after={frames - 100}", "log", "results"):
            timed(page, "GET", f"/api/jobs/{job}/{page}")
        began = time.perf_counter()
        timed("cancel", "PATCH", f"/api/jobs/{job}", json={"wanted": "cancel"})
        wait(client, lambda jobs: not unfinished(jobs))
        print(f"  cancelled after {time.perf_counter() - began:.2f} s")
    print(f"  list: {lister}; {service.figures()}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--frames", type=int, default=100_000)
    parser.add_argument("--ledger", default="")
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    with TemporaryDirectory() as name:
        folder = Path(name)
        ledger = options.ledger or f"sqlite:///{folder}/ledger.db"
        with serving(folder, ledger, options.workers) as service:
            for count in range(1, MOST_UNITS + 1):
                draw(folder / "in" / f"{count:02d}", count)
            print(service.figures())
            if options.jobs:
                for turn in ("first", "second"):
                    load(service, options.jobs, options.clients, turn)
            if options.frames:
                large(service, options.frames)


if __name__ == "__main__":
    main()
