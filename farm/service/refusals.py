"""Which answer an error gets over HTTP: one table, and no text that names a path of this machine."""

from typing import Final

from farm.errors import (
    BadOutput,
    BadParameter,
    Busy,
    Conflict,
    FarmError,
    JobEnded,
    JobHeld,
    LedgerUnavailable,
    NotFound,
    OutsideRoots,
    StorageFailed,
    TooLarge,
    UnknownName,
    UserError,
    WorkerError,
    WrongOwner,
)
from farm.service.roots import Roots
from farm.service.wire import Fault

__all__ = ["refusal"]


_ANSWERS: Final[tuple[tuple[type[FarmError], int, str], ...]] = (
    (NotFound, 404, "not_found"),
    (Busy, 429, "busy"),
    (TooLarge, 413, "too_large"),
    (Conflict, 409, "conflict"),
    (JobEnded, 409, "conflict"),
    (JobHeld, 409, "conflict"),
    (OutsideRoots, 403, "forbidden"),
    (WrongOwner, 403, "forbidden"),
    (LedgerUnavailable, 503, "unavailable"),
    (StorageFailed, 503, "unavailable"),
    (WorkerError, 503, "unavailable"),
    (BadOutput, 409, "conflict"),
    (UserError, 400, "bad_request"),
    (FarmError, 503, "unavailable"),
)
"""The first row that an error matches applies."""


def refusal(error: FarmError, roots: Roots) -> tuple[int, Fault]:
    """Return the status and the body for an error."""
    status, code = next((s, c) for kind, s, c in _ANSWERS if isinstance(error, kind))
    message = " ".join(roots.hidden(str(error)).split())
    return status, Fault(code=code, field=_field(error), message=message)


def _field(error: FarmError) -> str | None:
    match error:
        case BadParameter():
            return error.name if "." in error.name else f"params.{error.name}"
        case UnknownName(kind="task"):
            return "task"
        case UnknownName(kind="job"):
            return "after"
        case WrongOwner():
            return "owner"
        case BadOutput():
            return "output"
        case _:
            return None
