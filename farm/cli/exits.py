"""How the command ends: one table from errors to exit codes, and one line for each error."""

from enum import IntEnum
from typing import Final

import click

from farm.errors import Cancelled, FarmError, UnknownName, UserError


class Exit(IntEnum):
    """What the command's exit code means."""

    DONE = 0
    FAILED = 1
    WRONG_REQUEST = 2
    INTERRUPTED = 130


EXITS: Final[tuple[tuple[type[BaseException], Exit], ...]] = (
    (click.ClickException, Exit.WRONG_REQUEST),
    (click.Abort, Exit.INTERRUPTED),
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (Cancelled, Exit.INTERRUPTED),
    (UserError, Exit.WRONG_REQUEST),
    (FarmError, Exit.FAILED),
)
"""The first row that fits decides; anything else is a bug and keeps its traceback."""

EXPECTED: Final = tuple(kind for kind, _ in EXITS)


def exit_code(error: BaseException) -> Exit:
    """Return the exit code for an expected error."""
    return next(code for kind, code in EXITS if isinstance(error, kind))


def one_line(error: BaseException) -> str:
    """Say an expected error in one line; empty where there is nothing to say."""
    if isinstance(error, click.NoSuchOption):
        return _unknown_option(error)
    if isinstance(error, click.UsageError):
        return _hinted(error.format_message().rstrip("."), error.ctx)
    if isinstance(error, click.ClickException):
        return " ".join(error.format_message().split())
    return " ".join(str(error).split()) or ("" if isinstance(error, click.Abort) else "interrupted")


def _unknown_option(error: click.NoSuchOption) -> str:
    if error.ctx is None:
        return error.format_message()
    options = error.ctx.command.get_params(error.ctx)
    known = [word for option in options for word in (*option.opts, *option.secondary_opts)]
    flags = [word for word in known if word.startswith("--")]
    return _hinted(str(UnknownName("option", error.option_name, flags)), error.ctx)


def _hinted(message: str, context: click.Context | None) -> str:
    hint = f"; see `{context.command_path} --help`" if context else ""
    return " ".join(message.split()) + hint
