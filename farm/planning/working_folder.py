"""Names the hidden folder, beside an output, for its working files."""

import os
from hashlib import sha256
from typing import Final

__all__ = ["working_folder"]

_MAX_BYTES: Final = 255
"""Bytes of the longest name on most disks."""

_DIGITS: Final = 16


def working_folder(target: str) -> str:
    """Return the working folder of an output: ``.NAME.farm``, with a digest if that is too long."""
    folder, name = os.path.split(target)
    hidden = f".{name}.farm"
    if len(os.fsencode(hidden)) > _MAX_BYTES:
        digest = sha256(os.fsencode(name)).hexdigest()[:_DIGITS]
        room = _MAX_BYTES - len(f".-{digest}.farm")
        hidden = f".{os.fsencode(name)[:room].decode(errors='ignore')}-{digest}.farm"
    return os.path.join(folder, hidden)  # noqa: PTH118 - also for URLs
