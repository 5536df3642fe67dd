"""The audit: one line of JSON for each change that was asked of a service, and its result."""

import json
import os
from datetime import UTC, datetime
from pathlib import Path
from threading import Lock

__all__ = ["Audit"]


class Audit:
    """A file to which lines are added. It says who asked for what, and never what the content was."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._lock = Lock()

    def note(
        self, *, token: str, name: str, address: str, action: str, job: str, status: int
    ) -> None:
        """Add a line. token, name: of who asked. action: the method and the path's template.

        status: of the answer. The time in the line is that of UTC, as in 2025-11-29T19:53:00.123Z.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = {
            "at": now.replace("+00:00", "Z"),
            "token": token,
            "name": name,
            "address": address,
            "action": action,
            "job": job,
            "status": status,
        }
        with self._lock:
            os.write(self._descriptor, f"{json.dumps(line)}\n".encode())

    def close(self) -> None:
        os.close(self._descriptor)
