"""Which process runs a farm, so that others can tell whether it still lives."""

import os
import secrets
import socket
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

SILENT_SECONDS: Final = 60.0
"""A farm on another machine that shows no sign of life for this long is dead."""

BEAT_SECONDS: Final = 10.0
"""How often a farm shows that it lives."""

_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE: Final = Path("/proc/self/ns/pid")


@dataclass(frozen=True)
class FarmProcess:
    """A process that runs a farm.

    id: of this farm. kernel: identifies the running system, also where two hosts share a name.
    space: identifies what process numbers refer to, since containers on one system number their
    own. start: when the process started, which tells it from a later one with its number.
    """

    id: str
    host: str
    kernel: str
    space: str
    pid: int
    start: float

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_gone(self) -> bool:
        """Whether this process has certainly ended; False if only its own machine can tell."""
        here = this_process()
        if (self.kernel, self.space) != (here.kernel, here.space):
            return False
        return _start_of(self.pid) not in {self.start, None}


def this_process() -> FarmProcess:
    """Return a new farm in this process."""
    pid = os.getpid()
    return FarmProcess(secrets.token_hex(8), socket.gethostname(), *_system(), pid, _own_start(pid))


@cache
def _system() -> tuple[str, str]:
    """Return identifiers of the running kernel and of the namespace of process numbers."""
    try:
        return _BOOT.read_text().strip(), str(_NAMESPACE.readlink())
    except OSError:
        return socket.gethostname(), ""


@cache
def _own_start(pid: int) -> float:
    return _start_of(pid) or 0.0


def _start_of(pid: int) -> float | None:
    """Return when a process started; 0 if there is no such process, None if that is hidden.

    In ticks since the system started where there is /proc, because nobody can set that clock.
    """
    import psutil

    with suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return 0.0 if fields[0] == "Z" else float(fields[19])
    try:
        return None if _is_hidden(pid) else float(psutil.Process(pid).create_time())
    except psutil.NoSuchProcess:
        return 0.0
    except psutil.Error:
        return None


def _is_hidden(pid: int) -> bool:
    """Return whether a process exists that /proc does not show to this user."""
    import psutil

    return _BOOT.exists() and bool(psutil.pid_exists(pid))
