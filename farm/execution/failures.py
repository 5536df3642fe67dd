"""From whatever is raised to farm errors, and from those to what they mean for a unit."""

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
_NO_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")
"""How torch's allocators say it."""

_REASONS: Final[tuple[tuple[type[Exception], Reason], ...]] = (
    (UserError, Reason.USER_ERROR),
    (PluginError, Reason.PLUGIN_ERROR),
    (DeviceMemory, Reason.MEMORY),
    (MemoryError, Reason.MEMORY),
    (StorageFailed, Reason.STORAGE),
    (WorkerDied, Reason.WORKER_DIED),
)


def classify(error: BaseException) -> Failure:
    """Say what an error means for its unit; what the farm does not expect is its own bug."""
    reason = next((r for kind, r in _REASONS if isinstance(error, kind)), Reason.BUG)
    story = "" if reason is Reason.USER_ERROR else "".join(traceback.format_exception(error))
    return Failure(
        reason,
        _line(error) if isinstance(error, FarmError) else _named(error),
        is_fatal=reason is Reason.USER_ERROR,
        traceback=story[-_TRACEBACK_CHARACTERS:],
    )


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn what reading or writing raises into farm errors."""
    try:
        yield
    except FarmError:
        raise
    except MemoryError as error:
        raise DeviceMemory("this machine", url) from error
    except OSError as error:
        raise StorageFailed(url, error.strerror or _named(error)) from error
    except Exception as error:
        raise FarmBug(f"{url}: {_named(error)}") from error


@contextmanager
def plugin_errors(task: str, device: str) -> Iterator[None]:
    """Turn whatever a plugin raises into farm errors."""
    try:
        yield
    except FarmError:
        raise
    except (Exception, SystemExit) as error:
        if _is_memory(error):
            raise DeviceMemory(device, _line(error)) from error
        raise PluginError(task, f"{_named(error)} ({_place(error)})") from error


def _is_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)
    )


def _place(error: BaseException) -> str:
    """Return file and line where the error was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename.rsplit('/', 1)[-1]}, line {last.lineno}"


def _named(error: BaseException) -> str:
    line = _line(error)
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return words if len(words) <= 300 else words[:297] + "..."
