"""The command line that the farm prints for a job makes the same job again."""

import re
import shlex
from pathlib import Path

import click
import pytest

from farm.cli.command_line import command_line
from farm.cli.running import Running
from farm.cli.task_command import _spec, task_command
from farm.host.registry import Registry
from farm.model.job import JobSpec

README = (Path(__file__).parents[2] / "README.md").read_text()
TASKS = ("dream", "style", "zoom", "train-style", "dcgan", "finetune")
LINES = [
    line
    for line in re.findall(r"^ {4}farm (.+?)(?: +#.*)?$", README, re.MULTILINE)
    if line.startswith(TASKS) and " --like " not in line
]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(None)


def spec_of(registry: Registry, words: list[str]) -> JobSpec:
    task = registry.task(words[0])
    context = task_command(task).make_context(
        words[0], words[1:], parent=click.Context(click.Group())
    )
    return _spec(task, context.params, Running())


@pytest.mark.parametrize("line", LINES)
def test_every_command_of_the_readme_is_printed_so_that_it_makes_the_same_job(
    registry: Registry, line: str
) -> None:
    spec = spec_of(registry, shlex.split(line))
    printed = shlex.split(command_line(registry.task(spec.task), spec))
    assert printed[0] == "farm"
    assert spec_of(registry, printed[1:]) == spec


def test_options_at_their_default_are_left_out(registry: Registry) -> None:
    spec = spec_of(registry, ["dream", "a.jpg", "-o", "b.png", "--octaves", "4", "--threads", "1"])
    assert command_line(registry.task("dream"), spec) == "farm dream --output=b.png a.jpg"


@pytest.mark.parametrize(
    "words",
    [
        ["--channel", "3", "--neuron", "0.5", "0.25", "--layer", "a=0.5", "--layer", "b"],
        ["--keep-going", "--strict", "--tile", "none", "--depth", "10", "--rate", "24000/1001"],
        ["--coherence", "flow", "--codec", "vp9", "--quality", "best", "--priority", "7"],
    ],
)
def test_every_kind_of_option_is_printed(registry: Registry, words: list[str]) -> None:
    spec = spec_of(registry, ["dream", "-o", "-b.png", *words, "--", "-a.jpg", "it's.png"])
    printed = shlex.split(command_line(registry.task("dream"), spec))
    assert spec_of(registry, printed[1:]) == spec
