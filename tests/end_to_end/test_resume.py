"""However a job stops, resuming it gives the same bytes and redoes only what is needed."""

import re
import secrets
import shlex
import shutil
import signal
from pathlib import Path

import pytest

from .conftest import DREAM, QUICK, Command, bytes_of, draw, events_of, frames

pytestmark = pytest.mark.slow


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.png")}


def test_a_killed_job_resumes_where_it_stopped(
    command: Command, pictures: Path, undisturbed: dict[str, bytes]
) -> None:
    words, out = ("dream", pictures, "-o", "out/", *DREAM), command.folder / "out"
    with command.start(*words) as job:
        for _ in range(2):
            job.until(lambda event: event.get("state") == "succeeded")
        job.process.kill()
        assert job.wait().returncode == -signal.SIGKILL
    finished, before = job.frames("succeeded"), stamps(out)
    half_written = out / f".farm-{secrets.token_hex(8)}.part"
    half_written.write_bytes(b"half a picture")

    with command.start(*words, "--resume") as job:
        done = job.wait()
    assert done.returncode == 0, done.stderr
    skipped = job.frames("skipped")
    assert {*finished} <= {*skipped}
    assert len(skipped) < 6
    assert sorted(skipped + job.frames("succeeded")) == [f"picture{n}" for n in range(1, 7)]
    counts = f"rendered {6 - len(skipped)}, skipped {len(skipped)} already finished"
    assert done.stderr == f"{counts}; output: {out}/\n"
    after = stamps(out)
    assert all(after[f"{name}.png"] == before[f"{name}.png"] for name in skipped)
    assert bytes_of(out) == undisturbed


def test_ctrl_c_prints_a_command_that_resumes(
    command: Command, pictures: Path, undisturbed: dict[str, bytes]
) -> None:
    out = command.folder / "out"
    with command.start("dream", pictures, "-o", "out/", *DREAM) as job:
        job.until(lambda event: event.get("state") == "succeeded")
        job.until(lambda event: event["event"] == "progress")
        job.process.send_signal(signal.SIGINT)
        done = job.wait()
    assert done.returncode == 130
    hint = re.fullmatch(r"stopping; .*\ninterrupted; resume with: farm (.*)\n", done.stderr)
    assert hint, done.stderr
    assert {*bytes_of(out)} == {f"{name}.png" for name in job.frames("succeeded")}

    resumed = command.run(*shlex.split(hint[1]))
    assert resumed.returncode == 0, resumed.stderr
    assert {*frames(events_of(resumed), "skipped")} == {*job.frames("succeeded")}
    assert bytes_of(out) == undisturbed


def test_only_what_has_changed_is_rendered_again(command: Command, pictures: Path) -> None:
    folder, out = command.folder / "in", command.folder / "out"
    shutil.copytree(pictures, folder)
    words = ("dream", "in", "-o", "out/", *QUICK, "--resume", "--json")
    first = command.run(*words)
    assert first.returncode == 0, first.stderr
    assert len(frames(events_of(first), "succeeded")) == 6
    before = bytes_of(out)

    draw(folder / "picture1.png", seed=99)
    (out / "picture2.png").unlink()
    (out / "picture4.png").write_bytes(b"not what was written")
    again = events_of(command.run(*words))
    assert frames(again, "succeeded") == ["picture1", "picture2", "picture4"]
    assert frames(again, "skipped") == ["picture3", "picture5", "picture6"]
    after = bytes_of(out)
    assert after.pop("picture1.png") != before.pop("picture1.png")
    assert after == before

    other = events_of(command.run(*words, "--seed", 1))
    assert len(frames(other, "succeeded")) == 6
