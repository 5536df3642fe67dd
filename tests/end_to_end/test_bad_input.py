"""Every error is one line and leaves no half-written files."""

import os
import re
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.media import is_film

from .conftest import DREAM, QUICK, Command, bytes_of, draw, events_of

pytestmark = pytest.mark.slow


def test_bad_files_are_listed_and_good_ones_are_rendered(command: Command) -> None:
    folder = command.folder / "in"
    for number in range(10):
        draw(folder / f"good{number}.png", 40, 56, number)
    whole = (folder / "good0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "empty.jpg").touch()
    (folder / "prose.tif").write_text("There is no picture here.")

    done = command.run("dream", "in", "-o", "out/", *QUICK)
    assert done.returncode == 1
    assert done.stdout == f"rendered 10, 3 failed; output: {command.folder}/out/\n"
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    for line, (name, reason) in zip(
        failed,
        {
            "cut": "damaged picture: image file is truncated",
            "empty": "the file is empty",
            "prose": "not a picture",
        }.items(),
        strict=True,
    ):
        assert re.match(rf"failed: {name}: {folder}/{name}\.\w+: {reason}", line)
    assert "Traceback" not in done.stderr
    assert {*bytes_of(command.folder / "out")} == {f"good{number}.png" for number in range(10)}


def test_every_awkward_picture_is_rendered_or_refused_in_one_line(
    command: Command, shared_data: Path
) -> None:
    folder = shared_data / "awkward_images"
    awkward = sorted(path for path in folder.iterdir() if not is_film(str(path)))
    if not awkward:
        pytest.skip("no awkward pictures")
    words = ("--iterations", 1, "--octaves", 1, "--layer", "conv1", "--threads", 1)
    done = command.run("dream", *awkward, "-o", "out/", *words, "--json")
    assert done.returncode == 1
    assert "Traceback" not in done.stdout + done.stderr
    final = {
        event["source"]: event
        for event in events_of(done)
        if event["event"] == "frame" and event["state"] in {"succeeded", "quarantined"}
    }
    assert final.keys() == set(map(str, awkward))
    rendered = {e["target"] for e in final.values() if e["state"] == "succeeded"}
    assert rendered == {str(path) for path in (command.folder / "out").iterdir()}
    *lines, summary = done.stderr.splitlines()
    refused = [source for source, event in final.items() if event["state"] == "quarantined"]
    assert summary.startswith(f"rendered {len(rendered)}, {len(refused)} failed; output: ")
    for source in refused:
        (line,) = (line for line in lines if f" {source}: " in line)
        assert line.startswith(f"failed: {final[source]['frame']}: {source}: ")
    assert len(lines) == len(refused)


WRONG = {
    "layer": (("--layer", "inception9"), r"unknown layer of starter 'inception9'; "),
    "network": (("--network", "starte"), r"unknown network 'starte'; did you mean starter\?"),
    "class": (("--class", "poodel"), r"unknown class of starter 'poodel'; did you mean"),
    "guide": (
        ("--guide", "none.png"),
        r"--guide: no such file: /.*/here/none\.png; check the name",
    ),
    "option": (("--itterations", "3"), r"unknown option '--itterations'; did you mean --iterat"),
    "range": (("--iterations", "0"), r"--iterations: should be greater than or equal to 1"),
    "tile": (("--tile", "0"), r".*'0' is not auto, none, or a number of pixels"),
    "precision": (("--precision", "half"), r".*'half' is not one of 'float32', 'float64'"),
    "together": (
        ("--class", "1", "--channel", "2"),
        r"dream: --channel and --class cannot be combined; choose one; see `farm dream --help`",
    ),
    "without effect": (
        ("--class", "1", "--layer", "conv3"),
        r"dream: --layer has no effect with --class; omit one, or set --layer back to inception4c",
    ),
    "input missing": (("gone.png",), r"/.*/here/gone\.png: no such file or folder"),
    "folder empty": (
        ("empty",),
        r"/.*/here/empty: this folder contains no pictures or films \(entries: 0\)",
    ),
    "blank": (("blank:axb",), r"blank:axb: write blank:WIDTHxHEIGHT"),
    "two into one": (("two.png",), r"cannot write .*out\.png: several inputs need a folder"),
    "its own input": (
        ("-o", "one.png"),
        r"cannot write .*one\.png: this is also an input; choose another path",
    ),
    "suffix": (
        ("-o", "out.psd"),
        r"cannot write .*out\.psd: unsupported suffix '\.psd'; use one of \.png",
    ),
    "below a file": (("-o", "one.png/out.png"), r"cannot write .*: .*one\.png is a file, not a"),
    "scheme": (
        ("-o", "gopher://a/b.png"),
        r"cannot write gopher:.*: gopher:// URLs are not supported",
    ),
}


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() if p.is_file() else b"" for p in folder.rglob("*")}


def jobs_in(ledger: Path) -> int:
    if not ledger.exists():
        return 0
    connection = sqlite3.connect(ledger)
    try:
        return int(connection.execute("select count(*) from jobs").fetchone()[0])
    finally:
        connection.close()


def assert_refused(command: Command, words: tuple[object, ...], reason: str) -> None:
    """Assert that a request is refused in one line and changes nothing."""
    before = tree(command.folder)
    done = command.run(*words)
    assert done.returncode == 2, done.stderr
    assert re.fullmatch(rf"farm: {reason}.*\n", done.stderr), done.stderr
    assert done.stdout == ""
    assert tree(command.folder) == before
    assert jobs_in(command.ledger) == 0


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_changes_nothing(command: Command, case: str) -> None:
    for name in ("one.png", "two.png"):
        draw(command.folder / name)
    (command.folder / "empty").mkdir()
    wrong, reason = WRONG[case]
    quick = DREAM if "--class" in wrong else QUICK  # which names a layer
    options = zip(*[iter(("-o", "out.png", *quick))] * 2, strict=True)
    right = [word for option in options if option[0] not in wrong for word in option]
    assert_refused(command, ("dream", "one.png", *right, *wrong), reason)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    options = ["-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(["mount", *options], check=False).returncode:
        pytest.skip("no permission to mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_a_read_only_folder_is_refused(command: Command, disk: Path) -> None:
    draw(command.folder / "one.png")
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    for output in (f"{disk}/", f"{disk}/new/one.png"):
        words = ("dream", "one.png", "-o", output, *QUICK)
        assert_refused(command, words, f"cannot write {output}: no permission to write in {disk}")


def test_a_full_disk_pauses_the_job_until_there_is_space(command: Command, disk: Path) -> None:
    draw(command.folder / "in" / "small.png", 16, 16)
    draw(command.folder / "in" / "wide.png", 256, 320)
    words = ("dream", "in", "-o", f"{disk}/", *QUICK)
    with command.start(*words, "--json") as job:
        paused = job.until(lambda e: e["event"] == "job" and e["state"] == "paused")
        job.process.send_signal(signal.SIGINT)
        done = job.wait()
    assert paused["reason"].startswith(f"{disk}/wide.png: the disk is full; free some space (")
    assert paused["reason"].endswith("; the job tries again in 30 s")
    assert done.returncode == 130
    assert "failed" not in done.stderr
    assert [path.name for path in disk.iterdir()] == ["small.png"]
    subprocess.run(["mount", "-o", "remount,size=4m", str(disk)], check=True)
    done = command.run(*words, "--resume")
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"rendered 1, skipped 1 already finished; output: {disk}/\n"


def test_a_ledger_on_a_full_disk_is_reported_in_one_line(command: Command, disk: Path) -> None:
    draw(command.folder / "one.png")
    with (disk / "filler").open("wb") as file, pytest.raises(OSError, match="No space left"):
        file.write(bytes(2**17))
    words = ("dream", "one.png", "-o", "out.png", *QUICK)
    done = command.run(*words, FARM_LEDGER=str(disk / "ledger.db"))
    assert done.returncode == 2
    assert re.fullmatch(r"farm: .*ledger.*(full|set FARM_LEDGER).*\n", done.stderr)
    assert not (command.folder / "out.png").exists()
