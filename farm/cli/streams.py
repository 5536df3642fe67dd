"""Standard output and error of the command: safe to write to, whatever is at their other end.

Knows nothing about what is shown.
"""

import errno
import io
import logging
import os
import sys
from contextvars import ContextVar
from typing import Any, Final, TextIO

from farm.cli.text import plain

_results: ContextVar[TextIO | None] = ContextVar("results", default=None)
"""Where results go while other code's standard output is standard error; otherwise None."""

_READER_GONE: Final = frozenset({errno.EPIPE, errno.EIO})
"""What a write fails with after the reader, or the terminal, has gone."""


class OutputLost(Exception):
    """Standard output cannot be written: ``OutputLost(reason)``. No reason if its reader has gone."""


class _Forgiving(io.FileIO):
    """A stream that drops what cannot be written. failure: the first error."""

    failure: OSError | None = None

    def write(self, data: Any) -> int:
        try:
            written = super().write(data)
        except OSError as error:
            self.failure = self.failure or error
            return len(data)
        # None if the reader of a non-blocking stream is too slow
        return len(data) if written is None else written


def prepare_streams(*, is_json: bool) -> None:
    """Make both streams safe for any text and any reader, until the process ends.

    is_json: only echo() writes to standard output; what anything else writes there, subprocesses
    and libraries in C included, goes to standard error.
    """
    for descriptor in (0, 1, 2):
        _open_if_closed(descriptor)
    logging.lastResort = _LogLines(logging.WARNING)
    sys.stderr = _open(2, sys.stderr)
    if is_json:
        _results.set(_open(os.dup(1), sys.stdout))
        os.dup2(2, 1)
    sys.stdout = _open(1, sys.stdout)


def echo(line: str, *, err: bool = False) -> None:
    """Print one line of text. Raises OutputLost if it is lost; lost messages (err) are ignored."""
    write(plain(line), err=err)


def echo_traceback(text: str) -> None:
    """Print a traceback to standard error, line by line."""
    for line in text.splitlines():
        echo(line, err=True)


def write(text: str, *, err: bool = False) -> None:
    """Print text of the farm itself, or text in which all other text is plain already."""
    stream = sys.stderr if err else results()
    stream.write(f"{text}\n")
    stream.flush()
    if not err:
        check_results()


def results() -> TextIO:
    """Return the stream for results: standard output."""
    return _results.get() or sys.stdout


def check_results() -> None:
    """Raise OutputLost if any result could not be written."""
    failure = getattr(getattr(getattr(results(), "buffer", None), "raw", None), "failure", None)
    if isinstance(failure, OSError):
        is_gone = failure.errno in _READER_GONE
        raise OutputLost("" if is_gone else (failure.strerror or str(failure)).lower())


class _LogLines(logging.Handler):
    """Prints log records to standard error, one line each."""

    def emit(self, record: logging.LogRecord) -> None:
        for line in self.format(record).splitlines():
            echo(line, err=True)


def _open(descriptor: int, before: TextIO | None) -> TextIO:
    raw = _Forgiving(descriptor, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=before.encoding if before else "utf-8",
        errors="backslashreplace",
        line_buffering=True,
    )


def _open_if_closed(descriptor: int) -> None:
    """Open the null device where nothing is open, so that no later file gets this number."""
    try:
        os.fstat(descriptor)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
