"""A program that asks the server at an address which versions of Ray and Python it runs.

It is a process of its own, since Ray's client waits for a minute, ignores Ctrl-C and logs to stderr.
It prints the two versions, or the reason why there are none.
"""

import json
import signal
import socket
import sys
from typing import Final

__all__ = ["REFUSED"]

REFUSED: Final = 3
"""Exit status if nothing accepts a connection."""

_CONNECT_SECONDS: Final = 4
_ANSWER_SECONDS: Final = 5


def main(host: str, port: int) -> int:
    """Print the versions as JSON and return 0, or print a reason and return another status.

    SIGALRM ends the process if what accepts the connection does not answer as Ray does.
    """
    signal.alarm(2 * _CONNECT_SECONDS)
    try:
        socket.create_connection((host, port), _CONNECT_SECONDS).close()
    except OSError as error:
        sys.stdout.write((error.strerror or str(error)).lower())
        return REFUSED
    signal.alarm(0)
    from ray._raylet import GcsClient  # type: ignore[attr-defined]

    signal.alarm(_ANSWER_SECONDS)
    metadata = GcsClient(address=f"{host}:{port}").internal_kv_get(b"CLUSTER_METADATA", b"cluster")
    found = json.loads(metadata or "{}")
    sys.stdout.write(json.dumps([found.get("ray_version"), found.get("python_version")]))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2])))
