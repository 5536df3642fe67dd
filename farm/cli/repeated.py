"""Commands that say of an option which takes one value, and is given several, that the last one counts.

Groups of them refuse a name that they do not know as the farm does.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import TypeGuard

import click

from farm.cli.streams import echo
from farm.errors import UnknownName

__all__ = ["Command", "CommandGroup", "say_what_is_repeated"]


class Command(click.Command):
    """A command of the farm. Of several values for an option that takes one, click keeps the last in silence."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        say_what_is_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class CommandGroup(click.Group):
    """A group of such commands."""

    command_class = Command

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command. Raises UnknownName, with the nearest one."""
        command = super().get_command(ctx, cmd_name)
        if command is None and not ctx.resilient_parsing and not cmd_name.startswith("-"):
            nearest = get_close_matches(cmd_name, self.commands, n=1)
            raise UnknownName("command", cmd_name, nearest or self.commands)
        return command


def say_what_is_repeated(
    command: click.Command, context: click.Context, words: Sequence[str]
) -> None:
    """Tell the user which options of one value the words give different ones."""
    if context.resilient_parsing:  # a shell completes what need not be right yet
        return
    parser = command.make_parser(context)
    options = [option for option in command.params if _takes_one_value(option)]
    for option in options:
        parser.add_option(option, option.opts, option.name, action="append", nargs=option.nargs)
    given, _, _ = parser.parse_args([*words])
    for option in options:
        values = [_word(value, option) for value in given.get(option.name, ())]
        if len(set(values)) > 1:
            times = "twice" if len(values) == 2 else f"{len(values)} times"
            listed = f"{', '.join(values)}); the last one, {values[-1]}, counts"
            echo(f"{option.opts[-1]} is given {times} ({listed}", err=True)


def _takes_one_value(param: click.Parameter) -> TypeGuard[click.Option]:
    return isinstance(param, click.Option) and not (param.multiple or param.is_flag or param.count)


def _word(value: object, option: click.Option) -> str:
    """Return a value as it was typed: several words for one of several, and the usual one if it was left out."""
    match value:
        case str():
            return value
        case tuple():
            return " ".join(value)
        case _:
            return str(option.flag_value)
