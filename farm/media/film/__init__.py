"""Films in and out."""

from pathlib import Path
from typing import Any, Final

WRITABLE_FILMS: Final[dict[str, Any]] = dict.fromkeys((".mp4", ".mov", ".mkv", ".webm", ".gif"))


def is_film_name(path: Path) -> bool:
    return path.suffix.lower() in WRITABLE_FILMS


def is_film(path: str) -> bool:
    return Path(path).suffix.lower() in WRITABLE_FILMS
