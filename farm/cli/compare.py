"""``farm compare``: one picture rendered with each combination of some values, on one sheet."""

from collections.abc import Mapping, Sequence
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
    --layer inception3b,inception4c --step 1,2. One that takes several numbers is given once for each
    value: --neuron 0.5 0.5 --neuron 0.2 0.8. Of a film, --frames names the frame.
    """
    from farm.cli.sheet_folder import working_folder
    from farm.cli.sheet_jobs import check_sheet, render_all, write_sheet
    from farm.cli.task_command import spec_of_words, task_command
    from farm.media import is_film
    from farm.planning.inputs import list_inputs

    registry = registry_of(context)
    own = task_command(registry.task(task))
    say_what_is_broken(context)
    sizes = _sizes(own)
    source, grid = _parsed(sizes, words)
    check_sheet(output, [each.url for each in list_inputs([source])])
    if is_film(source) and "--frames" not in grid:
        raise UserError(f"{source} is a film; add the frame to compare, such as --frames 24")
    varied = [flag for flag, values in grid.items() if len(values) > 1]
    combinations = [dict(zip(grid, values, strict=True)) for values in product(*grid.values())]
    if len(combinations) > _MOST:
        raise UserError(f"{len(combinations)} pictures are too many for a sheet; at most {_MOST}")
    with working_folder() as folder:
        files = [folder / f"{number}.png" for number in range(len(combinations))]
        specs = [
            spec_of_words(
                context, task, [source, *_flags(one, sizes), f"--output={file}", f"--size={size}"]
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


def _sizes(command: click.Command) -> dict[str, int]:
    """Return how many words each flag of a command takes."""
    options = [option for option in command.params if isinstance(option, click.Option)]
    return {
        flag: 0 if option.is_flag else option.nargs
        for option in options
        for flag in (*option.opts, *option.secondary_opts)
    }


def _parsed(sizes: Mapping[str, int], words: Sequence[str]) -> tuple[str, Grid]:
    """Return the input, and the values of each flag. A flag that takes no value has an empty one.

    sizes: words that flags take. One that takes several can be given several times, once for each value.
    """
    inputs: list[str] = []
    grid: Grid = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--"):
            inputs.append(word)
            continue
        flag, has_value, value = word.partition("=")
        size = sizes.get(flag, 1)
        if size > 1 and not has_value:
            value, rest = " ".join(rest[:size]), rest[size:]
            grid[flag] = list(dict.fromkeys((*grid.get(flag, ()), value)))
            continue
        if not has_value and rest and size:
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


def _flags(values: Mapping[str, str], sizes: Mapping[str, int]) -> list[str]:
    """Return the words of a combination."""
    flags: list[str] = []
    for flag, value in values.items():
        if sizes.get(flag, 1) > 1:
            flags += flag, *value.split()
        else:
            flags.append(f"{flag}={value}" if value else flag)
    return flags
