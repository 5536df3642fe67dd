"""Time frames of a dream rendered beside a check, with and without a thread of its own.

    python tests/benchmarks/threads.py [--size 480x360] [--rounds 5] [--threads 2]

Each frame is rendered by a worker's thread, in a new process: without a check in that process, after
a check in a thread of its own, as the farm does it, and after a check on the main thread. Voluntary
context switches are those of the rendering thread: those of OpenMP are 0 as long as its threads
spin. Leave the machine alone meanwhile: other processes that use its cores add switches.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median
from threading import get_native_id

sys.path.insert(0, str(Path(__file__).parent))
from pictures import scene
from rounds import ratio

from farm.engine.context import FrameContext
from farm.engine.device import set_up
from farm.engine.networks import NetworkCache
from farm.execution.own_thread import in_own_thread
from farm.host.registry import Registry
from farm.model.job import Plan
from farm_dream.params import DreamParams
from farm_dream.task import Dream


def context(threads: int) -> FrameContext:
    return FrameContext(
        device="cpu",
        plan=Plan(tile=0, threads=threads),
        networks=NetworkCache(Registry.load().network, "cpu"),
        frame="frame",
        report=lambda *_: None,
        is_cancelled=lambda: False,
        read=lambda _: None,
    )


def switches() -> int:
    """Return the voluntary context switches of this thread so far."""
    status = Path(f"/proc/self/task/{get_native_id()}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def render(width: int, height: int, threads: int) -> tuple[float, int]:
    """Return the seconds and the switches of a frame, after one that warms up."""
    set_up("cpu", threads)
    dream, frame, image = Dream(DreamParams()), context(threads), scene(height, width)
    dream.render(image, frame)
    start, before = time.perf_counter(), switches()
    dream.render(image, frame)
    return time.perf_counter() - start, switches() - before


def check(threads: int) -> None:
    Dream(DreamParams()).check(context(threads))


CHECKS: Mapping[str, Callable[[int], None]] = {
    "no check": lambda _: None,
    "own thread": in_own_thread(check),
    "main thread": check,
}


def measure(name: str, options: argparse.Namespace) -> tuple[float, int]:
    """Return the seconds and the switches of a frame in a process of its own."""
    command = [sys.executable, __file__, "--child", name]
    command += ["--size", options.size, "--threads", str(options.threads)]
    seconds, count = subprocess.check_output(command, text=True).split()
    return float(seconds), int(count)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="480x360")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", choices=CHECKS)
    options = parser.parse_args()
    if options.child:
        CHECKS[options.child](options.threads)
        width, height = map(int, options.size.split("x"))
        with ThreadPoolExecutor(1) as worker:
            print(*worker.submit(render, width, height, options.threads).result())
        return
    frames: dict[str, list[tuple[float, int]]] = {name: [] for name in CHECKS}
    for _ in range(options.rounds):
        for name, measured in frames.items():
            measured.append(measure(name, options))
    print(f"farm dream at {options.size}, {options.threads} threads, beside a check")
    alone = [seconds for seconds, _ in frames["no check"]]
    for name, measured in frames.items():
        seconds = [second for second, _ in measured]
        count = median(number for _, number in measured)
        print(
            f"  {name:<12}{median(seconds):7.2f} s per frame, {ratio(seconds, alone):.2f} times "
            f"that without a check, {count:.0f} voluntary context switches"
        )


if __name__ == "__main__":
    main()
