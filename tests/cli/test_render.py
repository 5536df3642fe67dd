"""A task's command, from flags to files: displays, exit codes, interrupt and resume."""

import errno
import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from farm.cli.exits import Exit

from ..distributions import HEAD, Farm  # noqa: TID252 - shared between rooms

pytestmark = pytest.mark.slow

WHITE, BLACK = "blank:12x8:#ffffff", "blank:12x8:#000000"

DIM = (
    HEAD
    + '''
import time
from pathlib import Path

class Dim(Effect):
    """Dims; waits at white pictures until the file go exists."""
    name = "dim"
    class Params(TaskParams):
        amount: float = Field(0.5, ge=0, le=1, description="0 is black.")
        go: str = Field("", description="File to wait for.")
        broken: bool = Field(False, description="Raise at white pictures.")
    def check(self, context):
        if self.params.amount == 0.25:
            from farm import BadParameter
            raise BadParameter("amount", "a quarter is not allowed")
    def render(self, image, context):
        if self.params.broken and image.min() == 1:
            raise ValueError("too bright")
        while self.params.go and image.min() == 1 and not Path(self.params.go).exists():
            context.progress(0.5, "waiting")
            time.sleep(0.01)
        ramp = image.new_tensor(range(image.shape[-1])) / image.shape[-1]
        return image * self.params.amount + ramp * 0.1

@hookimpl
def farm_tasks():
    return [Dim]
'''
)


@pytest.fixture(autouse=True)
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "dim.py").write_text(DIM)
    monkeypatch.setenv("FARM_PLUGINS_DIR", str(folder))


def events(stdout: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stdout.splitlines()]


def states(printed: list[dict[str, Any]], frame: str) -> list[str]:
    return [e["state"] for e in printed if e["event"] == "frame" and frame in e["frame"]]


def test_each_picture_written_is_one_line(farm: Farm, tmp_path: Path) -> None:
    done = farm("dim", WHITE, BLACK, "-o", "out/", "--amount", "0.3", "--seed", "5")
    assert done.returncode == Exit.DONE, done.stderr
    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert len(written) == 2
    created, *lines = done.stderr.splitlines()
    assert created == f"{tmp_path}/ledger.db: there was no ledger here; it has been created"
    assert [line.split()[0] for line in lines] == ["[1/2]", "[2/2]"]
    assert done.stdout == f"rendered 2; output: {tmp_path}/out/\n"
    record = json.loads(farm("show", f"out/{written[0]}", "--json").stdout)
    assert record["task"] == "dim"
    assert record["params"]["amount"] == 0.3
    assert record["plan"]["seed"] == 5
    assert "params.amount\t0.3\n" in farm("show", f"out/{written[0]}").stdout


def test_json_prints_one_object_per_event_and_nothing_else(farm: Farm, tmp_path: Path) -> None:
    done = farm("dim", WHITE, "-o", "one.png", "--json")
    assert done.stderr == f"rendered 1; output: {tmp_path}/one.png\n"
    printed = events(done.stdout)
    assert states(printed, "ffffff") == ["leased", "running", "succeeded"]
    assert [e["state"] for e in printed if e["event"] == "job"][-1] == "completed"
    (end,) = (e for e in printed if e.get("state") == "succeeded")
    assert end["target"] == str(tmp_path / "one.png")
    assert end["figures"]["pixels"] == 96


def test_a_failed_frame_is_listed_and_the_others_are_rendered(farm: Farm, tmp_path: Path) -> None:
    done = farm("dim", WHITE, BLACK, "-o", "out/", "--broken")
    assert done.returncode == Exit.FAILED
    lines = [line for line in done.stderr.splitlines() if "ffffff" in line]
    (line,) = (line for line in lines if "will be retried: " not in line)
    assert line.startswith("failed: ")
    assert "ValueError: too bright" in line
    assert done.stdout == f"rendered 1, 1 failed; output: {tmp_path}/out/\n"
    assert len(list((tmp_path / "out").iterdir())) == 1
    assert "Traceback" not in done.stderr


def test_a_plugin_that_fails_at_every_frame_is_told_once_with_how_many_it_stopped(
    farm: Farm, tmp_path: Path
) -> None:
    whites = [f"blank:{width}x8:#ffffff" for width in range(8, 13)]
    done = farm("dim", *whites, "-o", "out/", "--broken")
    assert done.returncode == Exit.FAILED
    first, *lines = [line for line in done.stderr.splitlines() if "too bright" in line]
    assert "will be retried: " in first
    assert len(lines) == 1
    assert lines[0].startswith("the job failed: its first 3 frames failed alike: ")
    assert lines[0].endswith("; 3 of 5 units failed, 2 not tried")
    assert "failed: blank" not in done.stderr
    assert done.stdout == "rendered 0, 3 failed, 2 not tried; no file was written\n"
    assert not (tmp_path / "out").exists()


NOTE = "sound track 1 is left out: .gif cannot store sound"


def film_with_sound(path: Path) -> None:
    """Write six black frames with a moment of silence."""
    with av.open(path, "w") as out:
        video, sound = out.add_stream("libx264", rate=25), out.add_stream("aac", rate=48000)
        video.width, video.height, video.pix_fmt = 32, 24, "yuv420p"
        for _ in range(6):
            out.mux(video.encode(av.VideoFrame.from_ndarray(np.zeros((24, 32, 3), np.uint8))))
        piece = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        piece.sample_rate, piece.pts = 48000, 0
        out.mux(sound.encode(piece))
        out.mux(sound.encode(None))
        out.mux(video.encode(None))


def test_what_a_film_loses_is_printed_once_before_rendering(farm: Farm, tmp_path: Path) -> None:
    source = tmp_path / "clip.mp4"
    film_with_sound(source)
    lines = farm("dim", "clip.mp4", "-o", "out.gif", "--frames", "2").stderr.splitlines()
    assert lines[:2] == [f"reading {source}", f"{source}: {NOTE}"]
    assert all(line.startswith("[") for line in lines[3:])  # after that of the new ledger
    printed = events(farm("dim", "clip.mp4", "-o", "again.gif", "--frames", "2", "--json").stdout)
    notice = {"event": "note", "url": str(source), "note": NOTE, "job": ""}
    assert next(e for e in printed if e["event"] not in {"reading", "worker"}) == notice
    assert printed.count(notice) == 1


def test_a_tasks_own_check_refuses_before_rendering(farm: Farm, tmp_path: Path) -> None:
    done = farm("dim", WHITE, "-o", "one.png", "--amount", "0.25")
    expected = "farm: --amount: a quarter is not allowed; see `farm dim --help`\n"
    assert done.stderr == expected
    assert done.returncode == Exit.WRONG_REQUEST
    assert not (tmp_path / "one.png").exists()


def interrupted(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the command, press Ctrl-C while the white frame is rendered, and wait for the exit."""
    command = [sys.executable, "-m", "farm", *words, "--json"]
    environment = os.environ | {"FARM_LEDGER": str(folder / "ledger.db")}
    printed = []
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            printed.append(line)
            event = json.loads(line)
            if event["event"] == "progress" and "ffffff" in event["frame"]:
                process.send_signal(signal.SIGINT)
                break
        printed.extend(process.stdout)
        stderr = process.stderr.read()
    return subprocess.CompletedProcess(command, process.returncode, "".join(printed), stderr)


def test_ctrl_c_drops_the_running_frame_and_resume_renders_it(farm: Farm, tmp_path: Path) -> None:
    words = ("dim", WHITE, BLACK, "-o", "out/", "--go", "go")
    stopped = interrupted(tmp_path, *words)
    assert stopped.returncode == Exit.INTERRUPTED, stopped.stderr
    hint = "interrupted; resume with: farm " + " ".join(words).replace(WHITE, f"'{WHITE}'").replace(
        BLACK, f"'{BLACK}'"
    )
    assert stopped.stderr.splitlines()[1:] == [f"{hint} --json --resume"]
    (first,) = (tmp_path / "out").iterdir()
    stamp = first.stat().st_mtime_ns

    (tmp_path / "go").touch()
    resumed = farm(*words, "--json", "--resume")
    assert resumed.returncode == Exit.DONE, resumed.stderr
    assert states(events(resumed.stdout), "000000") == ["skipped"]
    assert states(events(resumed.stdout), "ffffff")[-1] == "succeeded"
    assert resumed.stderr == f"rendered 1, skipped 1 already finished; output: {tmp_path}/out/\n"
    assert first.stat().st_mtime_ns == stamp
    assert len(list((tmp_path / "out").iterdir())) == 2


def test_a_terminal_shows_bars_and_is_restored(tmp_path: Path) -> None:
    leader, follower = pty.openpty()
    environment = os.environ | {
        "FARM_LEDGER": str(tmp_path / "ledger.db"),
        "TERM": "xterm",
        "COLUMNS": "120",
    }
    with subprocess.Popen(
        [sys.executable, "-m", "farm", "dim", WHITE, BLACK, "-o", "out/"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=follower,
    ) as process:
        os.close(follower)
        shown = _read_all(leader)
    assert process.returncode == Exit.DONE, shown
    assert "frames" in shown
    assert "2/2" in shown
    assert shown.rstrip().endswith(("\x1b[?25h", "\x1b[2K"))


def _read_all(descriptor: int) -> str:
    chunks = []
    while True:
        try:
            chunk = os.read(descriptor, 65536)
        except OSError:
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(descriptor)
    return b"".join(chunks).decode()


@pytest.mark.ray
@pytest.mark.proof
def test_a_pool_writes_the_same_bytes(farm: Farm, tmp_path: Path) -> None:
    words = ("dim", WHITE, BLACK, "--threads", "1")
    assert farm(*words, "-o", "here/").returncode == Exit.DONE
    pooled = farm(*words, "-o", "pool/", "--workers", "1")
    assert pooled.returncode == Exit.DONE, pooled.stderr
    here = {path.name: path.read_bytes() for path in (tmp_path / "here").iterdir()}
    assert here == {path.name: path.read_bytes() for path in (tmp_path / "pool").iterdir()}
    assert len(here) == 2


@pytest.mark.parametrize(
    ("option", "purpose"), [("--metrics-port", "serve metrics"), ("--live", "show frames")]
)
def test_a_taken_port_is_a_wrong_request(
    farm: Farm, tmp_path: Path, option: str, purpose: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = farm("dim", WHITE, "-o", "a.png", option, port)
    assert done.returncode == Exit.WRONG_REQUEST
    reason = os.strerror(errno.EADDRINUSE)
    assert done.stderr == f"farm: cannot {purpose} on port {port}: {reason}; choose another port\n"
    assert not (tmp_path / "a.png").exists()


def test_live_prints_its_address_and_ends_with_the_job(farm: Farm) -> None:
    done = farm("dim", WHITE, "-o", "a.png", "--live", "0")
    assert done.returncode == Exit.DONE, done.stderr
    first, _, frame = done.stderr.splitlines()
    assert re.fullmatch(r"watch the frames at http://127\.0\.0\.1:\d+/", first)
    assert frame.startswith("[1/1] ")


def test_the_web_server_is_imported_only_for_live(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom farm.cli import main\n"
        f"try: main(['dim', {WHITE!r}, '-o', 'a.png'])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print(sorted({'starlette', 'uvicorn'} & set(sys.modules)), file=sys.stderr)"
    )
    environment = os.environ | {"FARM_LEDGER": str(tmp_path / "ledger.db")}
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.splitlines()[-1] == "[]"
