"""Every error the farm raises, grouped by who can fix it.

    FarmError
    ├── UserError               the request is wrong
    │   ├── BadInput            an input cannot be read
    │   ├── BadOutput           an output cannot be written
    │   ├── BadParameter        a parameter is invalid
    │   ├── JobEnded            the job has ended, so nobody can work on it
    │   ├── JobHeld             another farm is working on the job
    │   ├── LedgerHeld          another service has the ledger to itself
    │   ├── LedgerUnavailable   the ledger cannot be read or written at present
    │   ├── InputChanged        a file is not what it was when the job was submitted
    │   ├── UnknownName         no such task, network, layer or class
    │   ├── OutsideRoots        a location is in no root of the service
    │   ├── WrongOwner          a job is submitted in another one's name
    │   ├── NotFound            the service has nothing of this name
    │   ├── Busy                the service takes no more of this at present
    │   ├── Conflict            the request does not fit the state of what it is about
    │   ├── TooLarge            the request is larger than the service allows
    │   ├── OrderRefused        a worker can run no unit of a job
    │   └── WeightsMissing      a network's weights are not here and cannot be downloaded
    ├── PluginError             a plugin is broken
    ├── WorkerError             a worker failed; another one may succeed
    │   ├── WorkerDied          the process or its node is gone
    │   ├── DeviceMemory        the device ran out of memory
    │   └── StorageFailed       a file could not be read or written
    │       ├── StorageUnavailable   the storage is full or gone, whatever the file
    │       │   └── StorageFull      the storage is full
    │       └── OutputReplaced       somebody else has written the output meanwhile
    ├── ServerUnavailable       no farm answers at this address
    │   ├── ServerFailed        a farm answers, with an error of its own
    │   └── ServerSilent        a farm takes a request and does not answer
    ├── Cancelled               the user stopped the work
    ├── JobTakenOver            another farm has taken the job over
    └── FarmBug                 the farm broke one of its own rules

Errors cross process boundaries. Every field is a positional argument in ``args`` and the text is
formatted in ``__str__``, so that each error pickles.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Final

_ALIKE: Final = 0.65
"""How much of two names must be the same: below that, words are named that nobody has meant."""

_COMPARED: Final = 5000
"""Names that are compared with one that is not known: a million take half a minute."""


class FarmError(Exception):
    """Base class of every error the farm raises on purpose."""


class UserError(FarmError):
    """The request is wrong: one line with the value, what is allowed and what to do. Never retried."""


class BadInput(UserError):
    """An input cannot be read: ``BadInput(source, reason)``."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source, self.reason = source, reason

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class BadOutput(UserError):
    """An output cannot be written: ``BadOutput(target, reason)``."""

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(target, reason)
        self.target, self.reason = target, reason

    def __str__(self) -> str:
        return f"cannot write {self.target}: {self.reason}"


class BadParameter(UserError):
    """A parameter is invalid: ``BadParameter(name, reason)``. name: the field of Params."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class JobEnded(UserError):
    """A job has ended, so that nobody can work on it: ``JobEnded(job, state)``."""

    def __init__(self, job: str, state: str) -> None:
        super().__init__(job, state)
        self.job, self.state = job, state

    def __str__(self) -> str:
        return f"job {self.job} has ended: it is {self.state}; submit it again with --resume"


class JobHeld(UserError):
    """Another farm is working on the job: ``JobHeld(job, holder)``."""

    def __init__(self, job: str, holder: str) -> None:
        super().__init__(job, holder)
        self.job, self.holder = job, holder

    def __str__(self) -> str:
        return f"{self.holder} is working on job {self.job}; wait until it ends, or stop it"


class LedgerHeld(UserError):
    """Another service has the ledger to itself: ``LedgerHeld(ledger, holder, since)``.

    holder: its process. since: a date and time, as text.
    """

    def __init__(self, ledger: str, holder: str, since: str) -> None:
        super().__init__(ledger, holder, since)
        self.ledger, self.holder, self.since = ledger, holder, since

    def __str__(self) -> str:
        return (
            f"{self.holder} serves the ledger {self.ledger} since {self.since}; "
            "stop it, or set FARM_LEDGER to another ledger"
        )


class LedgerUnavailable(UserError):
    """The ledger cannot be read or written at present: ``LedgerUnavailable(ledger, reason)``.

    reason: completes a sentence that begins with "the ledger". A later try may succeed.
    """

    def __init__(self, ledger: str, reason: str) -> None:
        super().__init__(ledger, reason)
        self.ledger, self.reason = ledger, reason

    def __str__(self) -> str:
        return f"the ledger {self.ledger} {self.reason}; try again once this is resolved"


class InputChanged(UserError):
    """A file is not what it was when the job was submitted: ``InputChanged(name, change)``.

    name: its path, or what else names it. change: has changed, or was removed.
    """

    def __init__(self, name: str, change: str) -> None:
        super().__init__(name, change)
        self.name, self.change = name, change

    def __str__(self) -> str:
        return (
            f"{self.name} {self.change} since the job was submitted; restore it and add --resume, "
            "or submit the job again"
        )


class UnknownName(UserError):
    """A name is not known: ``UnknownName(kind, name, known)``. The message suggests close matches.

    hint: where else the name could come from.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        known = tuple(known)
        super().__init__(kind, name, known, hint)
        self.kind, self.name, self.known, self.hint = kind, name, known, hint

    def __str__(self) -> str:
        choice = suggestion(self.name, self.known)
        hint = f"{' ' if choice.endswith('?') else '; '}{self.hint}" if self.hint else ""
        return f"unknown {self.kind} {self.name!r}; {choice}{hint}"


def suggestion(name: str, known: Sequence[str]) -> str:
    """Return what may be meant by a name that is not known: close matches, or else what there is."""
    if close := get_close_matches(name, known[:_COMPARED], n=3, cutoff=_ALIKE):
        return f"did you mean {', '.join(close)}?"
    listed = ", ".join(known[:24]) + (", ..." if len(known) > 24 else "")
    return f"choose one of {listed or '(none)'}"


class OutsideRoots(UserError):
    """A location is in no root of the service: ``OutsideRoots(location, reason, advice)``."""

    def __init__(
        self, location: str, reason: str, advice: str = "; a location on a farm is ROOT/path"
    ) -> None:
        super().__init__(location, reason, advice)
        self.location, self.reason, self.advice = location, reason, advice

    def __str__(self) -> str:
        return f"{self.location!r}: {self.reason}{self.advice}"


class WrongOwner(UserError):
    """A job names another owner than the holder of its token: ``WrongOwner(owner, holder)``."""

    def __init__(self, owner: str, holder: str) -> None:
        super().__init__(owner, holder)
        self.owner, self.holder = owner, holder

    def __str__(self) -> str:
        return f"the owner cannot be {self.owner!r}: this token is {self.holder!r}; leave the owner out"


class NotFound(UserError):
    """The service has nothing of this name: ``NotFound(what)``."""


class Busy(UserError):
    """The service takes no more of this at present: ``Busy(what)``. A later try may succeed."""


class Conflict(UserError):
    """The request does not fit the state of what it is about: ``Conflict(what)``."""


class TooLarge(UserError):
    """The request is larger than the service allows: ``TooLarge(what)``."""


class OrderRefused(UserError):
    """A worker can run no unit of a job: ``OrderRefused(task, reason)``."""

    def __init__(self, task: str, reason: str) -> None:
        super().__init__(task, reason)
        self.task, self.reason = task, reason

    def __str__(self) -> str:
        return f"no worker can run task {self.task!r}: {self.reason}"


class WeightsMissing(UserError):
    """A network's weights are not available: ``WeightsMissing(network, reason)``."""

    def __init__(self, network: str, reason: str) -> None:
        super().__init__(network, reason)
        self.network, self.reason = network, reason

    def __str__(self) -> str:
        return (
            f"network {self.network!r} has no weights here: {self.reason}; "
            "give --weights FILE, or use --network starter, which needs no download"
        )


class PluginError(FarmError):
    """A plugin is broken: ``PluginError(plugin, reason)``."""

    def __init__(self, plugin: str, reason: str) -> None:
        super().__init__(plugin, reason)
        self.plugin, self.reason = plugin, reason

    def __str__(self) -> str:
        return f"plugin {self.plugin}: {self.reason}"


class WorkerError(FarmError):
    """A worker failed; another one may succeed with the same unit."""


class WorkerDied(WorkerError):
    """A worker's process or node is gone: ``WorkerDied(worker, reason)``."""

    def __init__(self, worker: str, reason: str) -> None:
        super().__init__(worker, reason)
        self.worker, self.reason = worker, reason

    def __str__(self) -> str:
        return f"worker {self.worker} died: {self.reason}"


class DeviceMemory(WorkerError):
    """The device ran out of memory: ``DeviceMemory(device, reason)``."""

    def __init__(self, device: str, reason: str) -> None:
        super().__init__(device, reason)
        self.device, self.reason = device, reason

    def __str__(self) -> str:
        return f"{self.device} is out of memory ({self.reason}); try a smaller --tile"


class StorageFailed(WorkerError):
    """A file could not be read or written: ``StorageFailed(url, reason)``."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url, self.reason = url, reason

    def __str__(self) -> str:
        return f"{self.url}: {self.reason}"


class StorageUnavailable(StorageFailed):
    """A storage is full, or does not answer: ``StorageUnavailable(url, reason)``.

    No other file can be written there, or read, until this is fixed or passes. Jobs wait for that.
    """


class StorageFull(StorageUnavailable):
    """A storage is full: ``StorageFull(url, reason)``. It can be read, and a small file may still fit."""


class OutputReplaced(StorageFailed):
    """The output is not what it was when the attempt began: ``OutputReplaced(url, reason)``.

    Nothing was written. A new attempt begins with what is there now.
    """


class ServerUnavailable(FarmError):
    """No farm answers at this address: ``ServerUnavailable(server, reason)``. A later try may succeed."""

    def __init__(self, server: str, reason: str) -> None:
        super().__init__(server, reason)
        self.server, self.reason = server, reason

    def __str__(self) -> str:
        return f"no farm answers at {self.server}: {self.reason}; start one with `farm serve`"


class ServerFailed(ServerUnavailable):
    """A farm answers with an error of its own: ``ServerFailed(server, status, reason)``.

    status: of HTTP, 500 or above.
    """

    def __init__(self, server: str, status: int, reason: str) -> None:
        super().__init__(server, reason)
        self.args = server, status, reason
        self.status = status

    def __str__(self) -> str:
        return (
            f"the farm at {self.server} answers with an error, status {self.status}: {self.reason}; "
            "its log, what `farm serve` prints, may say more"
        )


class ServerSilent(ServerUnavailable):
    """A farm takes a request and does not answer: ``ServerSilent(server, seconds, hint)``.

    seconds: how long it was waited for. hint: what may have become of the request, and the next step.
    """

    def __init__(
        self, server: str, seconds: float, hint: str = "it may be busy; ask again later"
    ) -> None:
        super().__init__(server, f"no answer for {seconds:g} s")
        self.args = server, seconds, hint
        self.seconds, self.hint = seconds, hint

    def __str__(self) -> str:
        return f"the farm at {self.server} has not answered for {self.seconds:.0f} s; {self.hint}"


class Cancelled(FarmError):
    """The unit was asked to stop; nothing was written."""


class JobTakenOver(FarmError):
    """Another farm has taken the job over, so this one must not: ``JobTakenOver(job, holder)``."""

    def __init__(self, job: str, holder: str) -> None:
        super().__init__(job, holder)
        self.job, self.holder = job, holder

    def __str__(self) -> str:
        return f"job {self.job} was taken over by {self.holder}"


class FarmBug(FarmError):
    """The farm broke one of its own rules: ``FarmBug(what, history)``. Please report it.

    history: the events that led to it, oldest first, one line each.
    """

    def __init__(self, what: str, history: tuple[str, ...] = ()) -> None:
        super().__init__(what, history)
        self.what, self.history = what, history

    def __str__(self) -> str:
        return "\n  ".join((f"farm bug: {self.what}", *self.history))
