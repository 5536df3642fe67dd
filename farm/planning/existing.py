"""Refuses to replace finished files that nobody asked to replace."""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final

from farm import storage
from farm.errors import BadOutput

__all__ = ["check_free"]

ADVICE: Final = "add --resume to keep what is finished, or --overwrite to replace it"

NOT_BEGUN: Final = (
    "no job in this ledger has written it, so --resume does not replace it; add --overwrite"
)

_FEW: Final = 20
"""Files that are looked up one by one: their folder may have millions of others."""


def check_free(targets: Iterable[str], advice: str = ADVICE) -> None:
    """Raise BadOutput if there is a file under one of these names. Lists no folder twice.

    advice: what the user can do then.
    """
    wanted, by_folder = list(targets), defaultdict[str, list[str]](list)
    for target in wanted:
        by_folder[storage.parent(target)].append(target)
    there = {url for folder, urls in by_folder.items() for url in _existing(folder, urls)}
    taken = [url for url in wanted if url in there]
    if not taken:
        return
    more = len(taken) - 1
    others = f", and so {'do' if more > 1 else 'does'} {more} more of the {len(wanted)} outputs"
    raise BadOutput(taken[0], f"it exists{others if more else ''}; {advice}")


def _existing(folder: str, urls: Sequence[str]) -> list[str]:
    if len(urls) <= _FEW:
        return [url for url in urls if _is_taken(url)]
    if not storage.is_folder(folder):
        return []
    names = {storage.name(entry.url) for entry in storage.entries(folder)}
    return [url for url in urls if storage.name(url) in names]


def _is_taken(url: str) -> bool:
    """Return whether there is anything under a name, if only a link that leads nowhere."""
    return storage.is_file(url) if storage.is_remote(url) else os.path.lexists(url)
