"""Turns any exception into a farm error, and a farm error into the failure of a unit."""

import errno
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import NoneType
from typing import Final, ParamSpec, TypeVar

from farm.errors import (
    DeviceMemory,
    FarmBug,
    FarmError,
    OrderRefused,
    PluginError,
    StorageFailed,
    StorageUnavailable,
    UserError,
    WorkerDied,
)
from farm.host.blame import describe, line_of, one_line, with_type
from farm.host.task import Effect
from farm.model.messages import Failure, Hold, Reason
from farm.storage import read_trouble, write_error

__all__ = [
    "classify",
    "farm_call",
    "full_disk_errors",
    "output_errors",
    "plugin_errors",
    "result_errors",
    "storage_errors",
]

P = ParamSpec("P")
T = TypeVar("T")

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

_HOLDS: Final[tuple[tuple[type[Exception], Hold], ...]] = (
    (StorageUnavailable, Hold.STORAGE),
    (OrderRefused, Hold.RESTART),
)
"""Errors that every unit of the job would meet, unlike one in reading the unit's own source."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_MISTAKES: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    TypeError,
    ValueError,
)
"""Errors of code, which occur again; others come from outside, such as a lost connection."""


_WRONG_CODE: Final = (AttributeError, ImportError, NameError, TypeError, NoneType)
"""What wrong code raises whatever the frame. None: it raised nothing, but returned no picture."""


def classify(error: BaseException) -> Failure:
    """Return the failure that an error means for its unit. An unexpected error is a bug of the farm."""
    reason = next((r for kind, r in _REASONS if isinstance(error, kind)), Reason.BUG)
    trace = "" if reason is Reason.USER_ERROR else "".join(traceback.format_exception(error))
    return Failure(
        reason,
        one_line(error) if isinstance(error, FarmError) else with_type(error),
        is_fatal=reason is Reason.USER_ERROR,
        is_mistake=isinstance(error, PluginError) and isinstance(error.__cause__, _WRONG_CODE),
        traceback=trace[-_TRACEBACK_CHARACTERS:],
        hold=next((hold for kind, hold in _HOLDS if isinstance(error, kind)), None),
    )


@contextmanager
def storage_errors(url: str) -> Iterator[None]:
    """Turn errors of reading a file into farm errors. Farm errors pass unchanged."""
    try:
        yield
    except FarmError:
        raise
    except MemoryError as error:
        raise DeviceMemory("this machine", url) from error
    except OSError as error:
        reason = error.strerror or with_type(error)
        raise read_trouble(url, error) or StorageFailed(url, reason) from error
    except Exception as error:
        raise FarmBug(f"{url}: {with_type(error)}") from error


@contextmanager
def output_errors(url: str) -> Iterator[None]:
    """Turn errors of writing a file into farm errors. Farm errors pass unchanged."""
    with storage_errors(url):
        try:
            yield
        except OSError as error:
            raise write_error(url, error) from error


@contextmanager
def full_disk_errors(url: str) -> Iterator[None]:
    """Turn errors of a full disk into farm errors. Others pass: they may not come from writing.

    url: what to name if the error names no file.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in _FULL:
            raise
        raise write_error(error.filename or url, error) from error


def farm_call(call: Callable[P, T], device: str) -> Callable[P, T]:
    """Return a function of the farm that a plugin may call without being blamed for its errors."""

    def guarded(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return call(*args, **kwargs)
        except FarmError:
            raise
        except _MISTAKES as error:
            raise FarmBug(with_type(error)) from error
        except Exception as error:
            reason = f"lost contact with the farm: {with_type(error)}"
            raise WorkerDied(f"on {device}", reason) from error

    return guarded


@contextmanager
def plugin_errors(task: str, device: str) -> Iterator[None]:
    """Turn errors of a plugin into farm errors, even those that would end a thread or the process.

    Farm errors pass unchanged.
    """
    try:
        yield
    except FarmError:
        raise
    except BaseException as error:
        if _is_out_of_memory(error):
            raise DeviceMemory(device, one_line(error)) from error
        raise PluginError(task, describe(error)) from error


@contextmanager
def result_errors(effect: Effect) -> Iterator[None]:
    """Say of an error in what an effect returns where its render is, and what finds such errors."""
    try:
        yield
    except PluginError as error:
        where = line_of(type(effect).render)
        fault = f"{error.reason} ({where})" if where else error.reason
        advice = "farm.testing.check_effect finds such mistakes"
        raise PluginError(error.plugin, f"{fault}; {advice}") from None


def _is_out_of_memory(error: BaseException) -> bool:
    text = one_line(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(phrase in text for phrase in _OUT_OF_MEMORY)
    )
