"""Find out whether a worker sees the same files as this process.

Before a worker's first order into a folder, this process leaves a mark there and the worker looks
for it. The files that an order reads are looked for before each order.
"""

import secrets
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from farm.errors import BadOutput
from farm.model.messages import Failure, Order, Reason
from farm.model.texts import texts_in
from farm.storage import is_remote, output_path

__all__ = ["UnseenPaths", "is_seen", "leave_mark", "read_files"]

_MARK: Final = ".mark"
"""Suffix of a mark."""


def leave_mark(order: Order) -> Path | None:
    """Leave a mark in the folder of the order's target; None if this process cannot write there.

    A URL means the same everywhere and needs none.
    """
    if is_remote(order.unit.target):
        return None
    try:
        folder = output_path(order.unit.target).parent
        folder.mkdir(parents=True, exist_ok=True)
        mark = folder / f".farm-{secrets.token_hex(8)}{_MARK}"
        mark.touch()
    except (BadOutput, OSError):
        return None
    return mark


def read_files(order: Order) -> tuple[str, ...]:
    """Return the files and folders that an order reads, of those that this process sees."""
    named = (order.unit.source, asdict(order.unit.work), order.params)
    paths = dict.fromkeys(text for text in texts_in(named) if text.startswith("/"))
    return tuple(path for path in paths if path != order.unit.target and is_seen(path))


class UnseenPaths:
    """The folders and files that workers did not see, by path."""

    def __init__(self) -> None:
        self._workers: dict[str, set[str]] = {}

    def note_seen(self, path: str, worker: str) -> None:
        """Note that a worker sees a path."""
        self._workers.get(path, set()).discard(worker)

    def failure(self, path: str, worker: str, nodes: Mapping[str, str], needed: int = 1) -> Failure:
        """Return the failure of an order whose worker does not see a path.

        nodes: of the workers that could run the order, by name. needed: how many of them share it.
        The unit is not to blame, and other workers may run it; if too few of them see the path, no
        further attempt can succeed.
        """
        unseen_by = self._workers.setdefault(path, set())
        unseen_by.add(worker)
        if len(nodes.keys() - unseen_by) < needed:
            places = {f"node {nodes[name]}" for name in unseen_by & nodes.keys()}
            return Failure(Reason.USER_ERROR, _not_shared(path, places), is_fatal=True)
        return Failure(Reason.WORKER_LOST, _not_shared(path, [f"node {nodes[worker]}"]))


def _not_shared(path: str, places: Collection[str]) -> str:
    """Return the message for a path that the workers in these places do not see."""
    return (
        f"{path} is not shared: {', '.join(sorted(places))} cannot see it; keep inputs and outputs "
        "on a disk that all nodes share, under the same path"
    )


def is_seen(path: str) -> bool:
    """Return whether this process sees a file or folder."""
    try:
        return Path(path).exists()
    except (OSError, ValueError):
        return False
