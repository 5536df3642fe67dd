"""The folder of a run tells what it trains, how far it is, and how to go on."""

import json
import shlex
import shutil
from pathlib import Path

import pytest

from farm.engine.training.runs import FACTS, LOG, SKIPPED

from .conftest import DRAWING, Command


def shown(command: Command, run: Path) -> dict[str, str]:
    done = command("show", run.name)
    assert done.code == 0, done.errors
    return dict(line.split("\t") for line in done.results.splitlines())


def go_on(command: Command, fields: dict[str, str], *more: str) -> None:
    shutil.copy(DRAWING / "blots.py", "blots.py")
    name, *words = shlex.split(fields["command"].removeprefix("farm "))
    done = command(name, *words, "--threads", "1", *more)
    assert done.code == 0, done.errors


def test_a_run_tells_what_it_trains_and_how_far_it_is(command: Command, run: Path) -> None:
    fields = shown(command, run)
    assert fields["command"] == "farm blots --resume --output=run blots.py"
    assert (fields["task"], fields["inputs"], fields["params.rate"]) == ("blots", "blots.py", "0.5")
    assert fields["steps"] == fields["last.step"] == "4"
    assert 0 < float(fields["last.loss"]) < 10
    assert "skipped" not in fields


@pytest.mark.slow
def test_its_command_continues_it_however_far_it_has_been_continued(
    command: Command, run: Path
) -> None:
    go_on(command, shown(command, run), "--steps", "6")
    fields = shown(command, run)
    assert fields["steps"] == "6"
    assert fields["command"] == "farm blots --steps=6 --resume --output=run blots.py"
    go_on(command, fields)


def test_its_command_has_the_steps_that_the_task_had_chosen_once_they_are_made(
    command: Command, run: Path
) -> None:
    description = json.loads((run / FACTS).read_text())
    description["params"]["steps"] = None
    (run / FACTS).write_text(json.dumps(description))
    (run / "checkpoints" / "step-00000006.safetensors").touch()
    assert "--steps=6" in shown(command, run)["command"]
    (run / command.blots.Blots.result).unlink()
    assert "--steps" not in shown(command, run)["command"]


def test_programs_get_the_same_as_json(command: Command, run: Path) -> None:
    found = json.loads(command("show", "run", "--json").results)
    assert found["last"]["step"] == found["steps"] == 4
    assert found["params"] == json.loads((run / FACTS).read_text())["params"]


def test_what_was_skipped_is_counted(command: Command, run: Path) -> None:
    (run / SKIPPED).write_text('{"a.png": "damaged", "b.png": "damaged"}')
    assert shown(command, run)["skipped"] == "2 pictures that cannot be read; see run/skipped.json"


def test_a_log_that_was_cut_short_ends_with_its_last_whole_line(
    command: Command, run: Path
) -> None:
    with (run / LOG).open("a") as file:
        file.write('{"step": 5, "lo')
    assert shown(command, run)["last.step"] == "4"


def test_a_run_without_steps_has_no_figures(command: Command, run: Path) -> None:
    (run / LOG).unlink()
    shutil.rmtree(run / "checkpoints")
    fields = shown(command, run)
    assert fields["steps"] == "0"
    assert not [name for name in fields if name.startswith("last")]


def test_a_run_of_an_earlier_version_has_no_command(command: Command, run: Path) -> None:
    """It did not write down its inputs."""
    description = json.loads((run / FACTS).read_text())
    del description["inputs"]
    (run / FACTS).write_text(json.dumps(description))
    assert "command" not in shown(command, run)


def test_any_other_folder_is_refused(command: Command, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    done = command("show", "photos")
    assert done.code == 2
    assert done.errors == "photos: this folder contains no run: it has no run.json\n"
