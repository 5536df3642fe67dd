"""Estimates: what a job would cost on this farm, in the words of the wire."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Final

from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.job import JobSpec
from farm.model.messages import WorkerJoined
from farm.planning.estimating import estimate
from farm.planning.submission import Planner
from farm.service import wire

__all__ = ["estimated"]

_NOTES: Final = 20


def estimated(
    spec: JobSpec,
    registry: Registry,
    ledger: Ledger,
    *,
    room: int,
    workers: Sequence[WorkerJoined],
    resume: bool,
) -> wire.Estimate:
    """Return what a job would cost. Raises UserError if it would be refused.

    room: for how many workers there is. workers: those that are here. resume: frames that an equal
    job has finished cost nothing.
    """
    notes: list[str] = []
    planner = Planner(registry, ledger, lambda event: notes.append(str(getattr(event, "note", ""))))
    submission = planner.plan(spec, time.time(), resume=resume)
    device = next((one.device for one in workers if one.kind != "finish"), "")
    found = estimate(submission, ledger, workers=max(1, room), device=device)
    said = [note for note in (*notes, *found.notes) if note]
    return wire.Estimate(**asdict(found) | {"notes": said[:_NOTES]})
