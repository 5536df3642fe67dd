"""Commands that refuse an option which takes one value, and is given several different ones."""

from collections.abc import Sequence
from typing import TypeGuard

import click

from farm.errors import UserError

__all__ = ["Command", "CommandGroup", "check_given_once"]


class Command(click.Command):
    """A command of the farm. Of different values for an option that takes one, click would keep the last."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        check_given_once(self, ctx, args)
        return super().parse_args(ctx, args)


class CommandGroup(click.Group):
    """A group of such commands."""

    command_class = Command


def check_given_once(command: click.Command, context: click.Context, words: Sequence[str]) -> None:
    """Raise UserError if the words give an option several values, and it takes one. The same value twice is one."""
    if context.resilient_parsing:  # a shell completes what need not be right yet
        return
    parser = command.make_parser(context)
    options = [option for option in command.params if _takes_one_value(option)]
    for option in options:
        parser.add_option(option, option.opts, option.name, action="append", nargs=option.nargs)
    given, _, _ = parser.parse_args([*words])
    for option in options:
        values = list(dict.fromkeys(_word(value, option) for value in given.get(option.name, ())))
        if len(values) > 1:
            times = "twice" if len(values) == 2 else f"{len(values)} times"
            listed = ", ".join(values)
            raise UserError(f"{option.opts[-1]} is given {times} ({listed}); give it once")


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
