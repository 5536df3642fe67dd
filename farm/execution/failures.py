"""Turns any exception into a farm error, and a farm error into the failure of a unit."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from farm.errors import (
    DeviceMemory,
    FarmBug,
    FarmError,
    PluginError,
    StorageFailed,
    UserError,
    WorkerDied,
)
from farm.model.messages import Failure, Reason

__all__ = ["classify", "plugin_errors", "storage_errors"]

_TRACEBACK_CHARACTERS: Final = 4000
_OUT_OF_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")
"""Phrases in the errors of torch's allocators, in lower case."""

_REASONS: Final[tuple[tuple[type[Exception], Reason], ...]] = (
    (UserError, Reason.USER_ERROR),
    (PluginError, Reason.PLUGIN_ERROR),
    (DeviceMemory, Reason.MEMORY),
    (MemoryError, Reason.MEMORY),
    (StorageFailed, Reason.STORAGE),
    (WorkerDied, Reason.WORKER_DIED),
)


def classify(error: BaseException) -> Failure:
    """Return the failure that an error means for its unit. An unexpected error is a bug of the farm."""
    reason = next((r for kind, r in _REASONS if isinstance(error, kind)), Reason.BUG)
    trace = "" if reason is Reason.USER_ERROR else "".join(traceback.format_exception(error))
    return Failure(
        reason,
        _one_line(error) if isinstance(error, FarmError) else _with_type(error),
        is_fatal=reason is Reason.USER_ERROR,
        traceback=trace[-_TRACEBACK_CHARACTERS:],
    )


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn errors of reading and writing into farm errors. Farm errors pass unchanged."""
    try:
        yield
    except FarmError:
        raise
    except MemoryError as error:
        raise DeviceMemory("this machine", url) from error
    except OSError as error:
        raise StorageFailed(url, error.strerror or _with_type(error)) from error
    except Exception as error:
        raise FarmBug(f"{url}: {_with_type(error)}") from error


@contextmanager
def plugin_errors(task: str, device: str) -> Iterator[None]:
    """Turn errors of a plugin into farm errors. Farm errors pass unchanged."""
    try:
        yield
    except FarmError:
        raise
    except (Exception, SystemExit) as error:
        if _is_out_of_memory(error):
            raise DeviceMemory(device, _one_line(error)) from error
        raise PluginError(task, f"{_with_type(error)} ({_location(error)})") from error


def _is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in text for phrase in _OUT_OF_MEMORY)
    )


def _location(error: BaseException) -> str:
    """Return the file and line that raised the error."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename.rsplit('/', 1)[-1]}, line {last.lineno}"


def _with_type(error: BaseException) -> str:
    line = _one_line(error)
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."
