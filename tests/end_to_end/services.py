"""A service as a process of its own, which can be killed at a named point and started again."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from threading import Timer
from typing import Any, Final

import psutil

from farm.client import Client, JobHandle
from farm.errors import ServerUnavailable
from farm.ledger import Ledger
from farm.model.history import StoryLine, UnitRecord
from farm.model.job import JobState
from farm.model.unit import UnitState

DEATH: Final = "TEST_DEATH"
"""The environment variable that names a point, such as ``record.after:3``: the third time."""

PLUGIN: Final = '''
"""An effect that costs nothing, and the death of the process at a point that DEATH names."""

import functools
import os
import signal

from farm import Effect, hookimpl


class Negative(Effect):
    """Turn each colour into its opposite."""
    name = "negative"

    def render(self, image, context):
        return 1 - image


@hookimpl
def farm_tasks():
    return [Negative]


def die_at(point, left):
    from farm.control.announcing import Announcer
    from farm.execution.threads import ThreadExecutor
    from farm.ledger import Ledger
    from farm.planning.submission import Planner

    owners = {"plan": Planner, "submit": Ledger, "store": Ledger, "record": Ledger,
              "assign": ThreadExecutor, "poll": ThreadExecutor, "announce": Announcer}
    name, _, moment = point.partition(".")
    owner, name = owners[name], {"submit": "add", "store": "plan"}.get(name, name)
    method = getattr(owner, name)

    @functools.wraps(method)
    def deadly(*args, **kwargs):
        nonlocal left
        counts = name != "poll"
        if counts:
            left -= 1
        if moment == "before" and not left:
            os.kill(os.getpid(), signal.SIGKILL)
        answer = method(*args, **kwargs)
        if not counts and answer:
            left -= 1
        if moment == "after" and not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer

    setattr(owner, name, deadly)


if death := os.environ.get("TEST_DEATH"):
    point, _, times = death.partition(":")
    die_at(point, int(times))
'''

MARK: Final = "TEST_SERVICE"
"""The environment variable by which a test finds the processes of its own service."""

REPORTS: Final = {"curves.png", "index.html"}
"""What a run draws of its latest steps, with the time and the speed."""

WAIT_SECONDS: Final = 240
ORPHAN_SECONDS: Final = 180
DYING_SECONDS: Final = 10


def _reserved() -> socket.socket:
    """Return a socket on a free port, which only a server may take that asks for it by number."""
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    return holder


@dataclass
class Service:
    """``farm serve`` on a folder with the roots in and out.

    words: further options. holder: keeps its port. errors: what it has printed to stderr, once it has
    ended.
    """

    folder: Path
    ledger: str
    words: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    holder: socket.socket = field(default_factory=_reserved)
    port: int = field(init=False)
    process: "subprocess.Popen[str] | None" = None
    errors: str = ""

    def __post_init__(self) -> None:
        self.port = self.holder.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, death: str = "") -> None:
        """Start the service and wait until it answers. death: where it is killed; see DEATH."""
        plugins = self.folder / "plugins"
        plugins.mkdir(exist_ok=True)
        (plugins / "deadly.py").write_text(PLUGIN)
        for name in ("in", "out"):
            (self.folder / name).mkdir(exist_ok=True)
        roots = [f"--root={name}={self.folder / name}" for name in ("in", "out")]
        command = [sys.executable, "-m", "farm", "--plugins-dir", str(plugins), "serve"]
        self.process = subprocess.Popen(
            [*command, "--port", str(self.port), "--ledger", self.ledger, *roots, *self.words],
            env=os.environ | self.environment | {DEATH: death, MARK: self.mark},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self.process.stderr
        line = self.process.stderr.readline()
        assert line.startswith("serving on "), line

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def has_died(self) -> bool:
        """Return whether the process has ended, or does within seconds: its sockets close first."""
        assert self.process
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(DYING_SECONDS)
        return not self.is_running

    def wait(self) -> int:
        """Wait until the process has ended; return its exit code."""
        assert self.process
        _, errors = self.process.communicate(timeout=WAIT_SECONDS)
        self.errors += errors
        return self.process.returncode

    def stop(self) -> int:
        """Stop the service in good order."""
        assert self.process
        self.process.send_signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        """Kill the service, and wait until it is dead."""
        assert self.process
        self.process.kill()
        self.process.wait()

    def kill(self) -> None:
        """End the service for good."""
        if self.process:
            self.process.kill()
            self.wait()
        self.holder.close()

    @property
    def mark(self) -> str:
        return f"{os.getpid()}:{self.port}"

    def client(self) -> Client:
        return Client(self.url, "")

    def left(self) -> list[psutil.Process]:
        """Return its processes that live, such as those of Ray."""
        mark = f"{MARK}={self.mark}".encode()
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, OSError):
                # psutil stops reading where Ray has written another title
                variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
                if mark in variables and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def orphans(self) -> list[str]:
        """Return what is left of its processes some minutes after it has ended, and end that."""
        _, left = psutil.wait_procs(self.left(), ORPHAN_SECONDS)
        left = [*{*left, *self.left()}]
        names = [_name(process) for process in left]
        for process in left:
            with suppress(psutil.Error):
                process.kill()
        return names


def _name(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        return f"{process.name()} ({process.pid}), child of {process.ppid()}"
    return "a process that has just ended"


@dataclass(frozen=True)
class Request:
    """A job to submit, under a token: once, however often it is sent."""

    token: str
    task: str
    inputs: str
    output: str
    params: dict[str, Any] = field(default_factory=dict)
    options: dict[str, Any] = field(default_factory=dict)

    def submit(self, client: Client) -> JobHandle:
        options = {"token": self.token} | self.options
        return client.submit(self.task, self.inputs, self.output, options, **self.params)


def submit_and_wait(
    service: Service, requests: Sequence[Request], seconds: float | None = None
) -> bool:
    """Submit jobs and wait until they have ended; return False if the service died before that.

    seconds: after which it is killed.
    """
    killer = Timer(seconds, service.end) if seconds else None
    if killer:
        killer.start()
    try:
        return _submit_and_wait(service, requests)
    finally:
        if killer:
            killer.cancel()
            killer.join()


def work_off(service: Service, requests: Sequence[Request]) -> None:
    """Submit jobs and wait until they have ended; the service must live."""
    assert submit_and_wait(service, requests), f"it ended with {service.wait()}: {service.errors}"


def _submit_and_wait(service: Service, requests: Sequence[Request]) -> bool:
    with closing(service.client()) as client:
        try:
            jobs = [request.submit(client) for request in requests]
            while not all(job.refresh().has_ended for job in jobs):
                assert service.process
                with suppress(subprocess.TimeoutExpired):
                    service.process.wait(0.1)
        except ServerUnavailable as error:
            if not service.has_died():
                raise AssertionError("the service lives, and does not serve") from error
            return False
    return True


def faults_of(service: Service, requests: Sequence[Request]) -> Iterator[str]:
    """Yield where the ledger and the files do not say that each job was done, once."""
    with closing(Ledger.open(service.ledger)) as ledger:
        jobs = ledger.jobs(limit=1000)
        if len(jobs) != len(requests):
            yield f"{len(requests)} jobs were submitted, and {len(jobs)} are stored"
        for job in jobs:
            if job.state is not JobState.COMPLETED or job.reason:
                yield f"{job.id} is {job.state}: {job.reason}"
            for record in ledger.units(job.id):
                if not (record.state.is_done and (record.unit.is_working or _is_file(record))):
                    yield f"{record.unit.name} is {record.state}, and its file may be gone"
            yield from _redone(ledger.story(job.id, limit=100_000))
    for path in (service.folder / "out").rglob(".*"):
        yield f"left behind: {path}"


def _is_file(record: UnitRecord) -> bool:
    return Path(record.unit.target).is_file()


def _redone(story: Sequence[StoryLine]) -> Iterator[str]:
    done: set[str] = set()
    for line in story:
        if line.unit in done:
            yield f"{line.unit} was {line.state} after it had succeeded"
        if line.state is UnitState.SUCCEEDED:
            done.add(line.unit)


def digests_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder whose bytes do not depend on when it was written."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in REPORTS and path.parent.name != "checkpoints"
    }
