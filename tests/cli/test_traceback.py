"""Errors are one line; --traceback, before the command, shows every call that led to them."""

import json
from pathlib import Path
from textwrap import dedent

import click
import pytest

from farm.cli import group
from farm.cli.exits import Exit
from farm.cli.root import say_what_is_broken

from ..distributions import HEAD, Farm  # noqa: TID252 - shared between rooms

BROKEN = HEAD + dedent('''
    def deep():
        return {}["colour"]

    class Broken(Effect):
        """Fails."""
        name = "broken"
        def check(self, context):
            if self.params.is_checked:
                deep()
        def render(self, image, context):
            return deep()
        class Params(TaskParams):
            is_checked: bool = Field(False, description="Whether check fails as well.")

    @hookimpl
    def farm_tasks():
        return [Broken]
    ''')
LINE = "KeyError: 'colour' (broken.py, line 4)"


def half(plugins: Path) -> str:
    """Return what is said of the plugin that did not load, with the command that lists it."""
    reason = "ZeroDivisionError: division by zero (half.py, line 2)"
    return f"not loaded: plugin half: {reason}; see `farm --plugins-dir {plugins} plugins`"


@pytest.fixture
def plugins(tmp_path: Path) -> Path:
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "broken.py").write_text(BROKEN)
    (tmp_path / "own" / "half.py").write_text("def hidden():\n    1 / 0\nhidden()")
    return tmp_path / "own"


COMMANDS = {
    "a frame": (
        ["broken", "blank:32x32", "-o", "out.png"],
        "in deep",
        f"failed: blank_32x32: plugin broken: {LINE}",
    ),
    "a check": (
        ["broken", "blank:32x32", "-o", "out.png", "--is-checked"],
        "in deep",
        f"farm: plugin broken: check raised {LINE}",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", COMMANDS)
def test_an_error_is_one_line_and_its_traceback_is_shown_on_request(
    farm: Farm, plugins: Path, case: str
) -> None:
    words, call, message = COMMANDS[case]
    short = farm("--plugins-dir", plugins, *words)
    long = farm("--plugins-dir", plugins, "--traceback", *words)
    for done in (short, long):
        assert done.returncode == Exit.FAILED
        assert message in done.stderr
    assert call not in short.stderr
    assert call in long.stderr
    assert "\\n" not in long.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "is_said"),
    [
        (["dream", "blank:32x32", "-o", "out.png", "--dry-run"], True),
        (["serve", "--port", "0", "--ledger", "sqlite:///own/broken.py"], True),
        (["compare", "blank:32x32", "-o", "sheet.png", "--layer", "conv1,conv1000"], True),
        (["sample", "run", "-o", "grid.png"], True),
        (["evaluate", "run", "--data", "photos"], True),
        (["jobs"], False),
    ],
)
def test_a_plugin_that_did_not_load_is_said_by_commands_that_render_or_serve(
    farm: Farm, plugins: Path, words: list[str], *, is_said: bool
) -> None:
    done = farm("--plugins-dir", plugins, *words)
    assert (half(plugins) in done.stderr.splitlines()) is is_said
    if done.returncode:
        assert done.stderr.splitlines()[-1].startswith("farm: ")


def test_a_plugin_that_did_not_load_is_said_once_by_a_command_that_runs_others(
    plugins: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with group.make_context("farm", ["--plugins-dir", str(plugins), "demo"]) as root:
        for name in ("dream", "dream"):
            with click.Context(click.Command(name), parent=root) as context:
                say_what_is_broken(context)
    assert capsys.readouterr().err.splitlines().count(half(plugins)) == 1


@pytest.mark.slow
def test_the_traceback_of_a_plugin_that_did_not_load_is_shown_on_request(
    farm: Farm, plugins: Path
) -> None:
    short = farm("--plugins-dir", plugins, "plugins")
    assert "ZeroDivisionError: division by zero (half.py, line 2)" in short.stdout
    assert "in hidden" not in short.stderr
    assert "in hidden" in farm("--plugins-dir", plugins, "--traceback", "plugins").stderr


@pytest.mark.slow
def test_the_log_of_a_job_keeps_its_tracebacks(farm: Farm, plugins: Path) -> None:
    farm("--plugins-dir", plugins, "broken", "blank:32x32", "-o", "out.png")
    (listed,) = json.loads(farm("jobs", "--json").stdout)
    short, long = (farm(*words, "job", listed["id"], "log") for words in ((), ("--traceback",)))
    assert LINE in short.stdout
    assert "in deep" not in short.stdout + short.stderr
    assert long.stderr.count("in deep") == 1
