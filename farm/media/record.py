"""The record of how a picture was rendered, as text that fits inside the file.

Knows nothing about file formats.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final

__all__ = ["KEY", "from_text", "to_text"]

KEY: Final = "farm"


def to_text(record: Mapping[str, object]) -> str:
    """Return the record as JSON in ASCII; equal records give equal text.

    Raises TypeError or ValueError if JSON cannot represent it.
    """
    return json.dumps({KEY: dict(record)}, sort_keys=True, allow_nan=False)


def from_text(text: str | bytes) -> dict[str, Any] | None:
    """Return the record in a text from to_text; None for any other text."""
    with suppress(ValueError, RecursionError):
        content = json.loads(text)
        if isinstance(content, dict) and isinstance(content.get(KEY), dict):
            return dict(content[KEY])
    return None
