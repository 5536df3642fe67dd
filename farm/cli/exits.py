"""Exit codes and one-line messages for expected errors."""

from difflib import get_close_matches
from enum import IntEnum
from typing import Final

import click

from farm.cli.signals import Interrupted
from farm.errors import Cancelled, FarmError, ServerUnavailable, UnknownName, UserError


class Exit(IntEnum):
    """Exit codes of the command. A signal adds its number to 128, as for any command.

    Those from JOB_CANCELLED to NO_SERVER belong to commands that ask a farm at an address. FAILED:
    some frames failed, or the farm.
    """

    DONE = 0
    FAILED = 1
    WRONG_REQUEST = 2
    JOB_CANCELLED = 3
    JOB_FAILED = 4
    NO_SERVER = 5
    HUNG_UP = 129
    INTERRUPTED = 130
    TERMINATED = 143


EXITS: Final[tuple[tuple[type[BaseException], Exit], ...]] = (
    (click.ClickException, Exit.WRONG_REQUEST),
    (click.Abort, Exit.INTERRUPTED),
    (KeyboardInterrupt, Exit.INTERRUPTED),
    (Cancelled, Exit.INTERRUPTED),
    (UserError, Exit.WRONG_REQUEST),
    (ServerUnavailable, Exit.NO_SERVER),
    (FarmError, Exit.FAILED),
)
"""The first matching row applies. Any other error is a bug and shows its traceback."""

EXPECTED: Final = tuple(kind for kind, _ in EXITS)


def exit_code(error: BaseException) -> Exit:
    """Return the exit code of an expected error."""
    if isinstance(error, Interrupted):
        return Exit(128 + error.number)
    return next(code for kind, code in EXITS if isinstance(error, kind))


def one_line(error: BaseException) -> str:
    """Return an expected error as one line, which may be empty for click.Abort."""
    if isinstance(error, click.NoSuchOption):
        return _unknown_option(error)
    if isinstance(error, click.UsageError):
        return _with_hint(error.format_message().rstrip("."), error.ctx)
    if isinstance(error, click.ClickException):
        return " ".join(error.format_message().split())
    return " ".join(str(error).split()) or ("" if isinstance(error, click.Abort) else "interrupted")


def _unknown_option(error: click.NoSuchOption) -> str:
    if error.ctx is None:
        return error.format_message()
    options = error.ctx.command.get_params(error.ctx)
    known = [word for option in options for word in (*option.opts, *option.secondary_opts)]
    flags = [word for word in known if word.startswith("--")]
    close = get_close_matches(error.option_name.strip("-"), [flag[2:] for flag in flags], n=3)
    likely = [f"--{name}" for name in close]
    return _with_hint(str(UnknownName("option", error.option_name, likely or flags)), error.ctx)


def _with_hint(message: str, context: click.Context | None) -> str:
    hint = f"; see `{context.command_path} --help`" if context else ""
    return " ".join(message.split()) + hint
