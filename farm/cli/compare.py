"""``farm compare``: one picture rendered with each combination of some values, on one sheet."""

from collections.abc import Container, Mapping, Sequence
from itertools import product
from typing import Final

import click

from farm.cli.exits import Exit
from farm.cli.location import Location, check_named
from farm.cli.repeated import Command
from farm.cli.root import registry_of, say_what_is_broken
from farm.cli.streams import echo
from farm.errors import UserError

_MOST: Final = 100

Grid = dict[str, list[str]]


@click.command(cls=Command, context_settings={"ignore_unknown_options": True})
@click.argument("words", nargs=-1, required=True, type=click.UNPROCESSED, metavar="INPUT [OPTIONS]")
@click.option(
    "-o",
    "--output",
    type=Location(),
    required=True,
    help="The sheet, such as sheet.png. It replaces an earlier one.",
)
@click.option("--task", default="dream", show_default=True, help="Effect to compare.")
@click.option(
    "--size", default="long=480", show_default=True, help="Size to render at, as in the effect."
)
@click.pass_context
def compare(
    context: click.Context, words: Sequence[str], output: str, task: str, size: str
) -> Exit:
    """Render INPUT with each combination of values, on one labelled sheet.

    Options are those of the effect, with several values separated by commas:
    --layer inception3b,inception4c --step 1,2.
    """
    from farm.cli.sheet_folder import working_folder
    from farm.cli.sheet_jobs import check_sheet, render_all, write_sheet
    from farm.cli.task_command import spec_of_words, task_command
    from farm.planning.inputs import list_inputs

    registry = registry_of(context)
    own = task_command(registry.task(task))
    say_what_is_broken(context)
    source, grid = _parsed(_without_value(own), words)
    check_sheet(output, [each.url for each in list_inputs([source])])
    varied = [flag for flag, values in grid.items() if len(values) > 1]
    combinations = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if len(combinations) > _MOST:
        raise UserError(f"{len(combinations)} pictures are too many for a sheet; at most {_MOST}")
    with working_folder() as folder:
        files = [folder / f"{number}.png" for number in range(len(combinations))]
        specs = [
            spec_of_words(
                context, task, [source, *_flags(one), f"--output={file}", f"--size={size}"]
            )
            for one, file in zip(combinations, files, strict=True)
        ]
        render_all(registry, specs, [_told(one, varied, "=") for one in combinations])
        texts = [_told(one, varied, " ") for one in combinations]
        columns = len(grid[varied[-1]]) if varied else 1
        shown = write_sheet(output, list(zip(texts, files, strict=True)), columns)
    echo(f"compared {shown}; output: {output}")
    return Exit.DONE


def _told(combination: Mapping[str, str], varied: Sequence[str], between: str) -> str:
    """Return the values of a combination that tell it from others. between: a name and its value."""
    return " ".join(f"{flag[2:]}{between}{combination[flag]}" for flag in varied)


def _without_value(command: click.Command) -> set[str]:
    """Return the flags of a command that take no value."""
    options = (option for option in command.params if isinstance(option, click.Option))
    switches = (option for option in options if option.is_flag)
    return {flag for switch in switches for flag in (*switch.opts, *switch.secondary_opts)}


def _parsed(without_value: Container[str], words: Sequence[str]) -> tuple[str, Grid]:
    """Return the input, and the values of each flag. A flag that takes no value has an empty one."""
    inputs: list[str] = []
    grid: Grid = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            inputs.append(word)
            continue
        flag, has_value, value = word.partition("=")
        if not has_value and rest and flag not in without_value:
            value = rest.pop(0)
        values = value.split(",")
        if grid.setdefault(flag, values) != values:
            together = ",".join((*grid[flag], *values))
            raise UserError(f"{flag} is given twice; give it once: {flag} {together}")
    if len(inputs) != 1:
        raise UserError(
            f"give one picture to compare, not {len(inputs)}; see `farm compare --help`"
        )
    check_named(inputs[0], "INPUT")
    return inputs[0], grid


def _flags(values: Mapping[str, str]) -> list[str]:
    return [f"{flag}={value}" if value else flag for flag, value in values.items()]
