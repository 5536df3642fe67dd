"""Where a file lies that a client has sent to a service: ``uploads/SHA256/name``, with uploads as a root."""

import re
from typing import Final

__all__ = ["UPLOADS", "digest_last", "is_digest", "is_sent", "sent_name", "without_digests"]

UPLOADS: Final = "uploads"
"""Name of the root, and of its folder."""

_DIGEST: Final = re.compile("[0-9a-f]{64}")
_FOLDER: Final = re.compile(f"{UPLOADS}/{_DIGEST.pattern}/")
_OF_DIGEST: Final = re.compile(f"({_DIGEST.pattern})/([^/]+)$")


def is_digest(folder: str) -> bool:
    """Return whether the name of a folder is a SHA-256."""
    return bool(_DIGEST.fullmatch(folder))


def is_sent(path: str) -> bool:
    """Return whether a path in a root, ``ROOT/path``, is that of a file that was sent, or its folder."""
    return bool(_FOLDER.match(f"{path}/"))


def sent_name(location: str) -> str:
    """Return the bare name of a file that was sent, and any other location as it is."""
    return _FOLDER.split(location)[-1]


def without_digests(text: str) -> str:
    """Return a text with bare names in place of the paths of files that were sent."""
    return _FOLDER.sub("", text)


def digest_last(location: str) -> str:
    """Return a location with its name before its digest, so that such files are sorted by name."""
    return _OF_DIGEST.sub(r"\2/\1", location)
