"""Every error the farm raises, grouped by who can act.

    FarmError
    ├── UserError               the request is wrong: value, what is allowed, next step
    │   ├── BadInput            a picture cannot be read
    │   ├── BadOutput           an output cannot be written
    │   ├── BadParameter        a task's parameter is refused
    │   ├── UnknownName         a task, network, layer or class nobody offers
    │   └── WeightsMissing      a network's weights are neither here nor to be had
    ├── PluginError             a plugin is broken; names plugin and reason
    ├── WorkerError             this machine or process failed; another may do better
    │   ├── WorkerDied
    │   ├── DeviceMemory        the device is out of memory: a smaller tile helps
    │   └── StorageFailed       reading or writing failed on the way
    ├── Cancelled               a person asked to stop
    └── FarmBug                 the farm broke its own rules; carries the story

Errors travel between processes: every field is positional in ``args`` and the text is
made in ``__str__``, so each one pickles.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class FarmError(Exception):
    """Base of every error the farm raises on purpose."""


class UserError(FarmError):
    """Say what is wrong with the request, in one line. Retrying cannot help."""


class BadInput(UserError):
    """Refuse a picture: ``BadInput(source, reason)``."""

    def __init__(self, source: str, reason: str) -> None:
        super().__init__(source, reason)
        self.source, self.reason = source, reason

    def __str__(self) -> str:
        return f"{self.source}: {self.reason}"


class BadOutput(UserError):
    """Refuse a place or format to write to: ``BadOutput(target, reason)``."""

    def __init__(self, target: str, reason: str) -> None:
        super().__init__(target, reason)
        self.target, self.reason = target, reason

    def __str__(self) -> str:
        return f"cannot write {self.target}: {self.reason}"


class BadParameter(UserError):
    """Refuse a parameter: ``BadParameter(name, reason)``, the name as in Params."""

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name, self.reason = name, reason

    def __str__(self) -> str:
        return f"{self.name}: {self.reason}"


class UnknownName(UserError):
    """Nobody offers this name: ``UnknownName(kind, name, known)``; close ones come first."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = tuple(known)
        super().__init__(kind, name, known)
        self.kind, self.name, self.known = kind, name, known

    def __str__(self) -> str:
        close = get_close_matches(self.name, self.known, n=3)
        if close:
            return f"unknown {self.kind} {self.name!r}; did you mean {', '.join(close)}?"
        listed = ", ".join(self.known[:24]) + (", ..." if len(self.known) > 24 else "")
        return f"unknown {self.kind} {self.name!r}; choose one of {listed or '(none)'}"


class WeightsMissing(UserError):
    """A network's weights cannot be had: ``WeightsMissing(network, reason)``."""

    def __init__(self, network: str, reason: str) -> None:
        super().__init__(network, reason)
        self.network, self.reason = network, reason

    def __str__(self) -> str:
        return (
            f"network {self.network!r} has no weights here: {self.reason}; "
            "give --weights FILE, or --network starter, which needs no download"
        )


class PluginError(FarmError):
    """A plugin broke its contract: ``PluginError(plugin, reason)``."""

    def __init__(self, plugin: str, reason: str) -> None:
        super().__init__(plugin, reason)
        self.plugin, self.reason = plugin, reason

    def __str__(self) -> str:
        return f"plugin {self.plugin}: {self.reason}"


class WorkerError(FarmError):
    """A worker failed; the unit may go to another one."""


class WorkerDied(WorkerError):
    """A worker process or its node is gone: ``WorkerDied(worker, reason)``."""

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
    """Reading or writing failed on the way: ``StorageFailed(url, reason)``."""

    def __init__(self, url: str, reason: str) -> None:
        super().__init__(url, reason)
        self.url, self.reason = url, reason

    def __str__(self) -> str:
        return f"{self.url}: {self.reason}"


class Cancelled(FarmError):
    """Somebody asked the unit to stop; nothing was written."""


class FarmBug(FarmError):
    """The farm broke its own rules: ``FarmBug(what, story)``. Please report it."""

    def __init__(self, what: str, story: tuple[str, ...] = ()) -> None:
        super().__init__(what, story)
        self.what, self.story = what, story

    def __str__(self) -> str:
        return "\n  ".join((f"farm bug: {self.what}", *self.story))
