"""Refuses to replace finished files that nobody asked to replace."""

from collections.abc import Iterable
from typing import Final

from farm import storage
from farm.errors import BadOutput

__all__ = ["check_free"]

ADVICE: Final = "add --resume to keep what is finished, or --overwrite to replace it"


def check_free(targets: Iterable[str]) -> None:
    """Raise BadOutput if there is a file under one of these names. Lists each folder once."""
    wanted = list(targets)
    folders = {folder: _names(folder) for folder in {storage.parent(target) for target in wanted}}
    taken = [url for url in wanted if storage.name(url) in folders[storage.parent(url)]]
    if not taken:
        return
    more = len(taken) - 1
    others = f", and so {'do' if more > 1 else 'does'} {more} more of the {len(wanted)} outputs"
    raise BadOutput(taken[0], f"it exists{others if more else ''}; {ADVICE}")


def _names(folder: str) -> set[str]:
    if not storage.is_folder(folder):
        return set()
    return {storage.name(entry.url) for entry in storage.entries(folder)}
