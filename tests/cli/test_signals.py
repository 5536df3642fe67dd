"""Ctrl-C, SIGTERM and SIGHUP end a command in order, whatever it is doing."""

import json
import os
import shlex
import signal
import sqlite3
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest

from farm.cli.exits import Exit

from ..distributions import HEAD, Farm  # noqa: TID252 - shared between rooms

pytestmark = pytest.mark.slow

WHITE, BLACK = "blank:12x8:#ffffff", "blank:12x8:#000000"
GONE_SECONDS = 60

PLUGIN = (
    HEAD
    + '''
import time
from pathlib import Path
from farm.host.executor import Executor

class Wait(Effect):
    """Waits at white pictures for the file go; deaf: without listening to the farm."""
    name = "wait"
    class Params(TaskParams):
        deaf: bool = Field(False, description="Report no progress.")
        check: bool = Field(False, description="Wait in check as well.")
    def check(self, context):
        if self.params.check:
            print("checking", flush=True)
            while True:
                time.sleep(0.01)
    def render(self, image, context):
        context.progress(0.5, "waiting")
        while image.min() == 1 and not Path("go").exists():
            time.sleep(0.01)
            if not self.params.deaf:
                context.progress(0.5, "waiting")
        return image

class Stalling(Executor):
    """Never starts, and leaves a file when it is closed."""
    def __init__(self, options):
        Path("made").touch()
    def start(self):
        print("starting", flush=True)
        while True:
            time.sleep(0.01)
    def close(self):
        Path("closed").touch()
    assign = poll = cancel = kill = None

Stalling.__abstractmethods__ = frozenset()

@hookimpl
def farm_tasks():
    return [Wait]

@hookimpl
def farm_executors():
    import os
    return {"ray": Stalling} if os.environ.get("FARM_BLOCK_PLUGINS") else {}
'''
)

SIGNALS = {
    signal.SIGINT: (Exit.INTERRUPTED, "interrupted"),
    signal.SIGTERM: (Exit.TERMINATED, "interrupted by SIGTERM"),
    signal.SIGHUP: (Exit.HUNG_UP, "interrupted by SIGHUP"),
}
each_signal = pytest.mark.parametrize("number", SIGNALS)


class Started:
    """A running command, whose standard error goes to a file."""

    def __init__(self, process: "subprocess.Popen[str]", stderr: Path) -> None:
        self.process, self._stderr = process, stderr

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def until(self, text: str) -> None:
        """Wait until the command prints a line with this text."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if text in line:
                return
        raise AssertionError(self.stderr)

    def end(self) -> int:
        """Read what is left and return the exit code."""
        assert self.process.stdout is not None
        self.process.stdout.read()
        return self.process.wait()


Start = Callable[..., "contextmanager[Started]"]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., object]:
    """Return a function that starts the command in tmp_path with the plugin above."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "waiting.py").write_text(PLUGIN)
    monkeypatch.setenv("FARM_PLUGINS_DIR", str(tmp_path / "plugins"))
    monkeypatch.setenv("FARM_LEDGER", str(tmp_path / "ledger.db"))
    monkeypatch.setenv("PYTHONUNBUFFERED", "1")

    @contextmanager
    def run(
        *words: str, ignored: Sequence[signal.Signals] = (), **environment: str
    ) -> Iterator[Started]:
        def ignore() -> None:
            for number in ignored:
                signal.signal(number, signal.SIG_IGN)

        stderr = tmp_path / "stderr.txt"
        with (
            stderr.open("w") as sink,
            subprocess.Popen(
                [sys.executable, "-m", "farm", *words],
                cwd=tmp_path,
                env=os.environ | environment,
                stdout=subprocess.PIPE,
                stderr=sink,
                text=True,
                preexec_fn=ignore,  # noqa: PLW1509 - no threads here
                start_new_session=True,
            ) as process,
        ):
            try:
                yield Started(process, stderr)
            finally:
                process.kill()

    return run


def states(folder: Path) -> set[str]:
    """Return the states of all units in the ledger."""
    connection = sqlite3.connect(folder / "ledger.db")
    try:
        return {state for (state,) in connection.execute("select state from units")}
    finally:
        connection.close()


@each_signal
def test_a_signal_ends_a_job_in_order_and_resume_finishes_it(
    start: Start, farm: Farm, tmp_path: Path, number: signal.Signals
) -> None:
    words = ("wait", WHITE, BLACK, "-o", "out/", "--json")
    code, said = SIGNALS[number]
    with start(*words) as job:
        job.until("waiting")
        job.process.send_signal(number)
        assert job.end() == code
        assert job.stderr == (
            "stopping; a second signal ends the command at once\n"
            f"{said}; resume with: farm {shlex.join(words)} --resume\n"
        )
    assert not {"running", "leased"} & states(tmp_path)
    assert not [path for path in (tmp_path / "out").glob("*") if path.name.startswith(".")]
    (tmp_path / "go").touch()
    resumed = farm(*words, "--resume")
    assert resumed.returncode == Exit.DONE, resumed.stderr
    assert len(list((tmp_path / "out").iterdir())) == 2


@each_signal
def test_a_signal_that_is_ignored_at_the_start_stays_ignored(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    with start("wait", WHITE, "-o", "out.png", "--json", ignored=[number]) as job:
        job.until("waiting")
        for _ in range(20):  # a job that ends would soon stop to report its progress
            job.process.send_signal(number)
            job.until("waiting")
        (tmp_path / "go").touch()
        assert job.end() == Exit.DONE, job.stderr


@each_signal
def test_a_signal_that_comes_twice_at_once_counts_once(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    """timeout(1) signals the command, and then the group that it belongs to."""
    code, said = SIGNALS[number]
    with start("wait", WHITE, "-o", "out.png", "--json") as job:
        job.until("waiting")
        for _ in range(3):
            job.process.send_signal(number)
        assert job.end() == code
        assert f"{said}; resume with: " in job.stderr
    assert not {"running", "leased"} & states(tmp_path)


@each_signal
def test_a_second_signal_ends_the_process_at_once(start: Start, number: signal.Signals) -> None:
    with start("wait", WHITE, "-o", "out.png", "--json", "--deaf") as job:
        job.until("waiting")
        while job.process.poll() is None:
            job.process.send_signal(number)
        assert job.process.returncode == -number


@each_signal
def test_a_signal_ends_planning_at_once(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    code, said = SIGNALS[number]
    with start("wait", BLACK, "-o", "out/a.png", "--check") as job:
        job.until("checking")
        job.process.send_signal(number)
        assert job.end() == code
        assert job.stderr.startswith(f"{said}; resume with: farm wait ")
        assert job.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert states(tmp_path) == set()


@each_signal
def test_a_signal_ends_an_executor_that_does_not_start(
    start: Start, tmp_path: Path, number: signal.Signals
) -> None:
    code, said = SIGNALS[number]
    words = ("wait", BLACK, "-o", "a.png", "--workers", "2")
    with start(*words, FARM_BLOCK_PLUGINS="ray") as job:
        job.until("starting")
        job.process.send_signal(number)
        assert job.end() == code
        assert job.stderr.endswith(f"{said}; resume with: farm {shlex.join(words)} --resume\n")
    assert (tmp_path / "closed").exists()
    assert not (tmp_path / "a.png").exists()


@pytest.mark.ray
@pytest.mark.parametrize("to_all", [None, signal.SIGHUP, signal.SIGTERM])
def test_a_signal_ends_a_pool_and_its_processes(
    start: Start, tmp_path: Path, to_all: signal.Signals | None
) -> None:
    """to_all: sent to the whole process group, as by a terminal that closes, or a service manager."""
    mark = uuid.uuid4().hex
    words = ("wait", WHITE, "-o", "out/", "--workers", "1", "--json")
    with (
        TemporaryDirectory(prefix="farm-") as short,  # sockets need short paths
        start(*words, MARK=mark, RAY_TMPDIR=short) as job,
    ):
        job.until("waiting")
        if to_all:
            os.killpg(job.process.pid, to_all)
        else:
            job.process.send_signal(signal.SIGTERM)
        assert job.end() == SIGNALS[to_all or signal.SIGTERM][0], job.stderr
        assert "Traceback" not in job.stderr
        assert job.stderr.endswith(f"resume with: farm {shlex.join(words)} --resume\n")
    left = [process for process in psutil.process_iter() if _has(process, mark)]
    _, alive = psutil.wait_procs(left, GONE_SECONDS)
    assert alive == []
    assert not {"running", "leased"} & states(tmp_path)


def _has(process: psutil.Process, mark: str) -> bool:
    try:
        return process.environ().get("MARK") == mark
    except psutil.Error:
        return False


def test_a_signal_ends_a_command_that_runs_no_job(start: Start) -> None:
    """It arrives while a plugin is loaded."""
    plugins = Path(os.environ["FARM_PLUGINS_DIR"])
    (plugins / "slow.py").write_text("import time\nprint('loading', flush=True)\ntime.sleep(600)")
    with start("plugins") as command:
        command.until("loading")
        command.process.send_signal(signal.SIGTERM)
        assert command.end() == Exit.TERMINATED
        assert command.stderr == "farm: interrupted by SIGTERM\n"


def test_json_events_reach_a_reader_that_stops_early_and_the_job_can_be_resumed(
    start: Start, farm: Farm, tmp_path: Path
) -> None:
    words = ("wait", BLACK, WHITE, "-o", "out/", "--json")
    with start(*words) as job:
        job.until("waiting")
        assert job.process.stdout is not None
        job.process.stdout.close()
        assert job.process.wait() == Exit.FAILED
        assert job.stderr == ""
    assert not {"running", "leased"} & states(tmp_path)
    (tmp_path / "go").touch()
    resumed = farm(*words, "--resume")
    assert resumed.returncode == Exit.DONE
    assert {json.loads(line)["event"] for line in resumed.stdout.splitlines()} >= {"job", "frame"}
