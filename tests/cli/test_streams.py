"""A command is quiet when nobody reads its output, and keeps standard output for itself."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from farm.cli.exits import Exit

from ..distributions import HEAD, Farm, effect  # noqa: TID252 - shared between rooms

pytestmark = pytest.mark.slow

PLAIN = "blank:8x8"

NOISY = (
    HEAD
    + '''
import ctypes, os, subprocess, sys

def shout(when):
    print("python", when)
    sys.__stdout__.write(f"original {when}\\n")
    os.write(1, f"descriptor {when}\\n".encode())
    ctypes.CDLL(None).puts(f"library {when}".encode())
    subprocess.run(["echo", "subprocess", when], check=True)

shout("imported")

class Noisy(Effect):
    """Prints in every way."""
    name = "noisy"
    def render(self, image, context):
        shout("rendered")
        return image

@hookimpl
def farm_tasks():
    shout("asked")
    return [Noisy]

@hookimpl
def farm_job_finished(job):
    shout("finished")
'''
)

FAKE = effect("fake").replace(
    "name = 'fake'",
    "name = 'fake'\n    class Params(TaskParams):\n        note: str = Field('', description='Any.')",
)

COMMANDS = {
    "help": "--help",
    "networks": "networks",
    "layers": "networks starter",
    "classes": "networks starter --classes",
    "plugins": "plugins",
    "plugins as JSON": "plugins --json",
    "doctor": "doctor",
    "ledger": "ledger info",
    "ledger as JSON": "ledger info --json",
    "forget": "ledger forget --older-than 1d",
    "show": "show a.png",
    "new-plugin": "new-plugin glow",
    "job": f"fake {PLAIN} -o out.png",
    "job as JSON": f"fake {PLAIN} -o out.png --json",
    "refused": "show nothing.png",
}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a rendered picture a.png, whose plugins are the effects fake and noisy."""
    plugins = tmp_path / "plugged"
    plugins.mkdir()
    (plugins / "fake.py").write_text(FAKE)
    monkeypatch.setenv("FARM_PLUGINS_DIR", str(plugins))
    monkeypatch.setenv("FARM_LEDGER", str(tmp_path / "ledger.db"))
    return tmp_path


def shell(folder: Path, script: str) -> "subprocess.CompletedProcess[str]":
    """Run a shell script in which farm is the command."""
    head = f'set -o pipefail; farm() {{ "{sys.executable}" -m farm "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", head + script], cwd=folder, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_a_reader_that_leaves_early_hears_nothing(farm: Farm, folder: Path, command: str) -> None:
    assert farm("fake", PLAIN, "-o", "a.png").returncode == Exit.DONE
    (folder / "out.png").unlink(missing_ok=True)
    done = shell(folder, f"farm {COMMANDS[command]} | true")
    assert "Traceback" not in done.stderr
    assert "rror" not in done.stderr
    assert done.returncode in {Exit.DONE, Exit.FAILED, Exit.WRONG_REQUEST}


@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("command", ["networks", "job", "job as JSON", "refused"])
def test_closed_streams_change_no_exit_code(folder: Path, command: str, closed: str) -> None:
    expected = Exit.WRONG_REQUEST if command == "refused" else Exit.DONE
    done = shell(folder, f"farm {COMMANDS[command]} {closed}")
    assert done.returncode == expected, done.stderr
    assert "Traceback" not in done.stderr
    assert (folder / "out.png").exists() == command.startswith("job")


def test_a_job_goes_on_when_nobody_reads_its_messages(folder: Path) -> None:
    done = shell(folder, f"farm fake {PLAIN} blank:9x9 -o out/ 2>&1 >/dev/null | true")
    assert done.returncode == Exit.DONE
    assert len(list((folder / "out").iterdir())) == 2


def test_output_that_cannot_be_written_is_said(folder: Path) -> None:
    done = shell(folder, "farm plugins > /dev/full")
    assert done.returncode == Exit.FAILED
    assert done.stderr == "farm: cannot write to standard output: no space left on device\n"


def test_a_job_succeeds_although_its_closing_line_is_lost(folder: Path) -> None:
    done = shell(folder, f"farm fake {PLAIN} -o out.png > /dev/full")
    assert done.returncode == Exit.DONE, done.stderr


@pytest.mark.parametrize("words", [("noisy", PLAIN, "-o", "a.png"), ("plugins",)])
def test_with_json_nothing_else_reaches_standard_output(
    farm: Farm, folder: Path, words: tuple[str, ...]
) -> None:
    (folder / "plugged" / "noisy.py").write_text(NOISY)
    done = farm(*words, "--json")
    assert done.returncode == Exit.DONE, done.stderr
    printed = done.stdout if words == ("plugins",) else f"[{','.join(done.stdout.splitlines())}]"
    assert json.loads(printed)
    ways = ("python", "original", "descriptor", "library", "subprocess")
    moments = (
        ("imported", "asked") if words == ("plugins",) else ("imported", "rendered", "finished")
    )
    for when in moments:
        assert [way for way in ways if f"{way} {when}\n" not in done.stderr] == []


NAMES = {
    "not UTF-8": b"caf\xe9.png",
    "escapes": b"red\x1b[31m\x07.png",
    "lines": b"two\nlines.png",
    "right to left": "a\u202egnp.exe".encode(),
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_a_refused_name_is_one_plain_line(folder: Path, name: str, encoding: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "farm", "show", os.fsdecode(NAMES[name])],
        cwd=folder,
        env=os.environ | {"PYTHONIOENCODING": encoding},
        capture_output=True,
        check=False,
    )
    assert done.returncode == Exit.WRONG_REQUEST
    assert done.stderr.count(b"\n") == 1
    line = done.stderr.decode().rstrip("\n")
    assert line.isprintable()


@pytest.mark.parametrize("place", ["input", "output", "parameter", "text", "film"])
def test_a_name_that_is_not_utf8_is_refused_before_work_starts(
    farm: Farm, folder: Path, place: str
) -> None:
    assert farm("fake", PLAIN, "-o", "in/a.png").returncode == Exit.DONE
    name = os.fsdecode(b"caf\xe9.png")
    os.link(folder / "in" / "a.png", folder / name)
    words = {
        "input": ("fake", name, "-o", "out/"),
        "output": ("fake", "in/a.png", "-o", f"out/{name}"),
        "film": ("flicker", name, name),
        "text": ("fake", "in/a.png", "-o", "out/", "--note", name),
        "parameter": ("dream", "in/a.png", "-o", "out/", "--guide", name),
    }
    done = farm(*words[place])
    assert done.returncode == Exit.WRONG_REQUEST
    assert done.stderr.startswith("farm: ")
    assert done.stderr.endswith(r"caf\xe9.png: its path must be UTF-8; rename it" + "\n")
    assert not (folder / "out").exists()


def test_a_folder_that_is_gone_is_said(folder: Path) -> None:
    done = shell(folder, f"mkdir gone; cd gone; rmdir ../gone; farm fake {PLAIN} -o a.png")
    assert done.stderr == "farm: the current folder is gone; change to one that exists\n"
    assert done.returncode == Exit.WRONG_REQUEST
