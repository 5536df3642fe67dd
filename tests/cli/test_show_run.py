"""The folder of a run tells what it trains, how far it is, and how to go on."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from safetensors import safe_open
from safetensors.torch import save_file

from farm.engine.training.runs import FACTS, LOG, SKIPPED, last_step

from .conftest import DRAWING, Command


def shown(command: Command, run: Path) -> dict[str, str]:
    done = command("show", run.name)
    assert done.code == 0, done.errors
    return dict(line.split("\t") for line in done.results.splitlines())


def command_of(command: Command) -> str:
    """Return the command that continues the run, as programs get it."""
    return str(json.loads(command("show", "run", "--json").results)["command"])


def go_on(command: Command, line: str, *more: str) -> None:
    shutil.copy(DRAWING / "blots.py", "blots.py")
    name, *words = shlex.split(line.removeprefix("farm "))
    done = command(name, *words, "--threads", "1", *more)
    assert done.code == 0, done.errors


def test_a_run_tells_what_it_trains_and_how_far_it_is(command: Command, run: Path) -> None:
    fields = shown(command, run)
    longer = "farm blots --steps=MORE --resume --output=run blots.py"
    assert fields["command"] == f"to train longer, raise --steps: {longer}"
    assert (fields["task"], fields["inputs"], fields["params.rate"]) == ("blots", "blots.py", "0.5")
    assert (fields["steps"], fields["last.step"]) == ("4 of 4, finished", "4")
    assert fields["last.loss"] == f"{last_step(run)['loss']:.4g}" != str(last_step(run)["loss"])
    assert "skipped" not in fields
    assert "params.palettes" not in fields
    go_on(command, longer.replace("MORE", "5"))
    fields = shown(command, run)
    assert (fields["steps"], fields["params.steps"]) == ("5 of 5, finished", "5")
    assert fields["params.rate"] == "0.5"


def test_a_run_that_was_stopped_tells_how_many_of_its_steps_are_made(
    command: Command, run: Path
) -> None:
    (run / command.blots.Blots.result).unlink()
    (run / "checkpoints" / "step-00000004.safetensors").unlink()
    fields = shown(command, run)
    assert fields["steps"] == "3 of 4"
    assert fields["command"] == "farm blots --resume --output=run blots.py"


def test_what_was_left_to_the_task_is_shown_as_its_checkpoint_has_it(
    command: Command, run: Path
) -> None:
    description = json.loads((run / FACTS).read_text())
    description["params"] |= {"batch": None, "slope": None}
    (run / FACTS).write_text(json.dumps(description))
    newest = run / "checkpoints" / "step-00000004.safetensors"
    with safe_open(newest, "pt") as file:
        header = json.loads(file.metadata()["farm-run"])
    header["facts"] = {"batch": 128}
    save_file({}, newest, {"farm-run": json.dumps(header)})
    fields = shown(command, run)
    assert fields["params.batch"] == "128"
    assert "params.slope" not in fields
    assert json.loads(command("show", "run", "--json").results)["params"]["batch"] is None
    newest.write_bytes(b"damaged")
    assert "params.batch" not in shown(command, run)


@pytest.mark.slow
def test_its_command_continues_it_however_far_it_has_been_continued(
    command: Command, run: Path
) -> None:
    go_on(command, command_of(command), "--steps", "6")
    assert shown(command, run)["steps"] == "6 of 6, finished"
    assert command_of(command) == "farm blots --steps=6 --resume --output=run blots.py"
    go_on(command, command_of(command))


def test_its_command_has_the_steps_that_the_task_had_chosen_once_they_are_made(
    command: Command, run: Path
) -> None:
    description = json.loads((run / FACTS).read_text())
    description["params"]["steps"] = None
    (run / FACTS).write_text(json.dumps(description))
    (run / "checkpoints" / "step-00000006.safetensors").touch()
    assert "--steps=6" in command_of(command)
    assert shown(command, run)["steps"] == "6, finished"
    (run / command.blots.Blots.result).unlink()
    assert "--steps" not in command_of(command)
    assert shown(command, run)["steps"] == "6"


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
    assert fields["steps"] == "0 of 4"
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
