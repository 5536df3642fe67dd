"""Describes errors of plugins in one line, with the file and line of the author's own code.

Knows no plugin: the author's code is what the farm called, and whatever is in the same package.
"""

import inspect
from collections.abc import Callable, Iterator
from pathlib import PurePath
from types import TracebackType
from typing import Final

from pydantic import ValidationError

__all__ = ["describe", "line_of", "one_line", "reworded", "with_type"]

_CALLERS: Final = frozenset({"farm", "pluggy", "importlib", "pydantic"})
"""Packages that call plugins. Their own lines tell an author nothing."""

_MOST: Final = 300
"""Characters of a message."""


def describe(error: BaseException) -> str:
    """Return an error with its type and the author's line, as in ``KeyError: 'a' (glow.py, line 7)``.

    Its notes follow.
    """
    where = "" if isinstance(error, SyntaxError) else _author_line(error)  # its message says it
    line = f"{with_type(error)} ({where})" if where else with_type(error)
    return ", ".join((line, *(" ".join(note.split()) for note in _notes(error))))


def _notes(error: BaseException) -> list[str]:
    notes = getattr(error, "__notes__", ())
    return [note[:_MOST] for note in notes if isinstance(note, str)]


def line_of(function: Callable[..., object]) -> str:
    """Return where a function is, as in ``glow.py, line 7``; empty if it is no Python code."""
    function = inspect.unwrap(function)
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    return f"{_inside(str(function.__module__), code.co_filename)}, line {code.co_firstlineno}"


def with_type(error: BaseException) -> str:
    """Return an error as one line that starts with its type."""
    line = one_line(error)
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def one_line(error: BaseException) -> str:
    """Return the message of an error as one line, whatever a plugin raised."""
    try:
        text = _refusal(error) if isinstance(error, ValidationError) else str(error)
        text = " ".join(text.split())
    except BaseException:  # noqa: BLE001 - a plugin's error may be broken, too
        text = "its message cannot be shown"
    return text if len(text) <= _MOST else text[: _MOST - 3] + "..."


def _refusal(error: ValidationError) -> str:
    """Return the first thing that pydantic refuses, in the farm's words."""
    first = error.errors(include_url=False)[0]
    name = ".".join(map(str, first["loc"]))
    reason = reworded(first["msg"])
    return f"{name}: {reason}, not {first['input']!r}" if name else reason


def reworded(message: str) -> str:
    """Return a message of pydantic in the farm's words, to follow the name of a parameter."""
    return message.removeprefix("Value error, ").replace("Input should", "should")


def _author_line(error: BaseException) -> str:
    """Return the file and line of the innermost call in the author's package; empty if there is none."""
    owner, where = "", ""
    for module, path, line in _calls(error.__traceback__):
        package = module.partition(".")[0]
        owner = owner or (package if package not in _CALLERS else "")
        if owner and package == owner:
            where = f"{_inside(module, path)}, line {line}"
    return where


def _calls(trace: TracebackType | None) -> Iterator[tuple[str, str, int]]:
    """Yield the module, file and line of each call, outermost first."""
    while trace:
        frame = trace.tb_frame
        yield str(frame.f_globals.get("__name__", "")), frame.f_code.co_filename, trace.tb_lineno
        trace = trace.tb_next


def _inside(module: str, path: str) -> str:
    """Return a file's path from its top-level package on; the name of a single file."""
    parts = PurePath(path).parts
    depth = module.count(".") + (parts[-1] == "__init__.py")
    return "/".join(parts[-1 - depth :])
