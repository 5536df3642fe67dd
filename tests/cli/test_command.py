"""The command line: fast help, one-line errors and exit codes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from farm.cli import COMMANDS, group
from farm.cli.exits import EXITS, Exit, exit_code, one_line
from farm.cli.job_options import effect_options, run_options
from farm.cli.submit import _options as submit_options
from farm.errors import (
    BadInput,
    Cancelled,
    FarmBug,
    PluginError,
    UnknownName,
    WorkerDied,
)
from farm.host.vetting import COMMANDS as RESERVED
from farm.host.vetting import EFFECT_FLAGS, FLAGS

from ..distributions import HEAD, Farm, Install, effect  # noqa: TID252 - shared between rooms

TUNED = effect("tuned").replace(
    "name = 'tuned'",
    "name = 'tuned'\n"
    "    class Params(TaskParams):\n"
    "        octaves: int = Field(4, ge=1, le=20, description='Sizes.')\n"
    "        look: str = Field('soft', description='Look.')",
)
HEAVY = {
    "PIL",
    "numpy",
    "psutil",
    "ray",
    "rich",
    "sqlalchemy",
    "starlette",
    "torch",
    "uvicorn",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "plugins"
    folder.mkdir()
    (folder / "tuned.py").write_text(TUNED)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [["--help"], ["plugins"], ["plugins", "--json"], ["--version"], ["dream", "--help"], []],
)
def test_help_and_listings_import_nothing_heavy(words: list[str]) -> None:
    code = (
        "import sys\nfrom farm.cli import main\n"
        f"try: main({words})\n"
        "except SystemExit as end: assert end.code in (0, 2), end.code\n"
        f"print(sorted({HEAVY} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "[]"


UNUSED = {
    "alembic",
    "av",
    "farm.engine.training",
    "matplotlib",
    "prometheus_client",
    "ray",
    "starlette",
    "sympy",
    "torch._dynamo",
    "torchvision",
}
"""Modules that take from 0.03 to 1 second to import, and that no single still needs."""


@pytest.mark.slow
@pytest.mark.parametrize("words", [["dream", "--octaves", "1"], ["style", "--fast", "eddies"]])
def test_a_still_is_rendered_without_modules_that_it_does_not_need(
    words: list[str], tmp_path: Path
) -> None:
    words = [*words, "blank:64x48", "-o", str(tmp_path / "still.png"), "--threads", "1"]
    code = (
        "import sys\nfrom farm.cli import main\n"
        f"try: main({words})\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        f"print(sorted({UNUSED} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"FARM_LEDGER": str(tmp_path / "ledger.db")},
    )
    assert done.stderr.splitlines()[-1] == "[]"


def test_the_farms_commands_and_flags_are_reserved() -> None:
    options = (*effect_options(), *run_options(), *submit_options(), *group.params)
    words = {word for option in options for word in option.opts}
    assert {word for word in words if word.startswith("--")} <= FLAGS | EFFECT_FLAGS
    assert set(COMMANDS) <= RESERVED


WRONG = {
    "unknown task": (["tuned2"], "unknown task or command 'tuned2'; did you mean tuned?"),
    "unknown option": (
        ["tuned", "a.png", "--octave", "3"],
        "unknown option '--octave'; did you mean --octaves?; see `farm tuned --help`",
    ),
    "option that resembles only by its dashes": (
        ["tuned", "a.png", "--octavs", "3"],
        "unknown option '--octavs'; did you mean --octaves?; see `farm tuned --help`",
    ),
    "option without its value": (
        ["tuned", "a.png", "-o"],
        "Option '-o' requires an argument; see `farm tuned --help`",
    ),
    "value for a flag without one": (
        ["tuned", "a.png", "-o", "b.png", "--resume=3"],
        "Option '--resume' does not take a value; see `farm tuned --help`",
    ),
    "global option without its value": (
        ["--plugins-dir"],
        "Option '--plugins-dir' requires an argument; see `farm --help`",
    ),
    "option that resembles none": (
        ["tuned", "a.png", "--qqq"],
        "unknown option '--qqq'; choose one of",
    ),
    "unknown global option": (["--plugin-dir", "x"], "did you mean --plugins-dir?"),
    "no input": (["tuned", "-o", "b.png"], "Missing argument 'INPUT...'; see `farm tuned --help`"),
    "no output": (["tuned", "a.png"], "Missing option '-o' / '--output'"),
    "out of range": (
        ["tuned", "a.png", "-o", "b.png", "--octaves", "0"],
        "--octaves: should be greater than or equal to 1, not '0'; see `farm tuned --help`",
    ),
    "not a number": (
        ["tuned", "a.png", "-o", "b.png", "--octaves", "few"],
        "--octaves: should be a valid integer",
    ),
    "precision": (
        ["tuned", "a.png", "-o", "b.png", "--precision", "half"],
        "'half' is not one of 'float32', 'float64', 'bfloat16'",
    ),
    "tile": (
        ["tuned", "a.png", "-o", "b.png", "--tile", "0"],
        "'0' is not auto, none, or a number of pixels",
    ),
    "tiny tile": (
        ["tuned", "a.png", "-o", "b.png", "--tile", "31"],
        "Invalid value for '--tile': 31 pixels are too few",
    ),
    "threads": (
        ["tuned", "a.png", "-o", "b.png", "--threads", "0"],
        "Invalid value for '--threads': '0' is not allowed; give a whole number, 1 or more; see `farm tuned --help`",
    ),
    "threads that are no number": (
        ["tuned", "a.png", "-o", "b.png", "--threads", "x"],
        "'x' is not allowed; give a whole number, 1 or more",
    ),
    "priority": (
        ["tuned", "a.png", "-o", "b.png", "--priority", "500"],
        "'500' is not allowed; give a whole number, 0 to 100",
    ),
    "missing input": (["tuned", "not-there.png", "-o", "b.png"], "not-there.png"),
    "missing record": (["show", "not-there.png"], "not-there.png"),
    "unknown network": (["networks", "nett"], "unknown network 'nett'"),
    "new plugin's name": (
        ["new-plugin", "My Plugin"],
        "'My Plugin' is not a valid task name; use 1 to 32",
    ),
    "new plugin taken": (
        ["new-plugin", "tuned"],
        "`farm tuned` already exists; choose another name",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_request_prints_one_line_and_exits_with_2(
    case: str, farm: Farm, folder: Path
) -> None:
    words, message = WRONG[case]
    done = farm(*words, FARM_PLUGINS_DIR=str(folder))
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("farm: ")
    assert done.stdout == ""
    assert done.returncode == Exit.WRONG_REQUEST


@pytest.mark.slow
def test_a_missing_plugins_folder_is_a_wrong_request(farm: Farm) -> None:
    done = farm("--plugins-dir", "nowhere", "plugins")
    assert done.stderr == "farm: --plugins-dir nowhere: no such folder; check the name\n"
    assert done.returncode == Exit.WRONG_REQUEST
    named = farm("plugins", FARM_PLUGINS_DIR="nowhere")
    assert named.stderr == "farm: FARM_PLUGINS_DIR nowhere: no such folder; check the name\n"


@pytest.mark.slow
def test_help_lists_tasks_commands_and_failed_plugins(farm: Farm, folder: Path) -> None:
    (folder / "sick.py").write_text("raise RuntimeError('no licence')")
    done = farm("--plugins-dir", folder, "--help")
    assert re.search(r"Tasks:\n(  .*\n)*  tuned +Keeps the picture\.", done.stdout)
    assert re.search(r"Failed plugins:.* sick", done.stdout)
    assert all(f"  {name} " in done.stdout for name in COMMANDS)
    assert done.returncode == Exit.DONE


@pytest.mark.slow
def test_the_help_of_a_task_lists_its_parameters_before_the_common_options(
    farm: Farm, folder: Path
) -> None:
    text = farm("--plugins-dir", folder, "tuned", "--help").stdout
    assert "[1 <= x <= 20; default: 4]" in text
    assert text.index("--octaves") < text.index("Running:") < text.index("--tile")


@pytest.mark.slow
def test_plugins_are_listed_with_state_and_reason(
    farm: Farm, folder: Path, install: Install
) -> None:
    (folder / "sick.py").write_text(HEAD + "@hookimpl\ndef farm_task(): return []")
    install("farm-far", effect("far"))
    listed = json.loads(farm("--plugins-dir", folder, "plugins", "--json").stdout)
    rows = {row["name"]: row for row in listed}
    assert rows["sick"]["state"] == "failed"
    assert rows["sick"]["reason"] == "unknown hook farm_task; did you mean farm_tasks?"
    assert rows["sick"]["source"] == str(folder / "sick.py")
    assert rows["tuned"]["tasks"] == ["tuned"]
    assert (rows["farm-far"]["version"], rows["farm-far"]["source"]) == ("1.2", "farm-far")
    piped = farm("--plugins-dir", folder, "plugins").stdout.splitlines()
    assert piped[0].split("\t") == ["name", "version", "source", "tasks", "state", "reason"]
    assert [line.split("\t")[0] for line in piped[1:]] == list(rows)


@pytest.mark.slow
def test_closing_standard_output_early_prints_no_error() -> None:
    code = f"{sys.executable} -m farm --help | true"
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == ""


CODES = {
    Exit.WRONG_REQUEST: [BadInput("a.png", "is a folder"), UnknownName("task", "x", ())],
    Exit.FAILED: [WorkerDied("w1", "gone"), PluginError("p", "broke"), FarmBug("lost a unit")],
    Exit.INTERRUPTED: [KeyboardInterrupt(), Cancelled()],
}


@pytest.mark.parametrize("code", CODES)
def test_every_expected_error_has_an_exit_code_and_a_one_line_message(code: Exit) -> None:
    for error in CODES[code]:
        assert exit_code(error) == code
        assert one_line(error)
        assert "\n" not in one_line(error)


def test_every_row_of_the_exit_table_can_match() -> None:
    for index, (kind, _) in enumerate(EXITS):
        assert not any(issubclass(kind, earlier) for earlier, _ in EXITS[:index])
