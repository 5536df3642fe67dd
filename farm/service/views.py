"""Shows what the farm knows in the words of the wire."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal

from farm.host.task import Run, Task
from farm.model.events import Notice
from farm.model.history import StoryLine, UnitRecord
from farm.model.job import Job, JobState
from farm.model.job_counts import JobCounts
from farm.model.unit import UnitState
from farm.planning.film_needs import is_endless
from farm.service import wire
from farm.service.board import RunningUnit, WorkerNow
from farm.service.requests import shown_params, shown_spec
from farm.service.roots import Roots

__all__ = [
    "farm_state",
    "job",
    "story_line",
    "task",
    "unit",
    "unit_details",
    "worker",
]

Word = Literal["idle", "active", "waiting", "degraded", "inoperative"]
_OPEN: Final = tuple(state for state in JobState if not state.is_final)


def farm_state(
    jobs: Mapping[JobState, int],
    counts: Mapping[str, int],
    room: int,
    workers: Sequence[WorkerNow],
    trouble: str,
) -> tuple[Word, str]:
    """Return the farm's state in one word, and the reason."""
    refused = [now for now in workers if now.state == "refused"]
    here = counts["idle"] + counts["busy"]
    if trouble or not (here or room):
        return "inoperative", trouble or (refused[0].reason if refused else "there is no worker")
    if refused:
        return "degraded", f"worker {refused[0].joined.worker} was refused: {refused[0].reason}"
    if counts["busy"]:
        return "active", f"{counts['busy']:,} of {here:,} workers are busy"
    return _without_work(jobs, has_workers=here > 0)


def _without_work(jobs: Mapping[JobState, int], *, has_workers: bool) -> tuple[Word, str]:
    """Return the state of a farm whose workers do nothing."""
    waiting = sum(jobs.get(state, 0) for state in _OPEN)
    if not waiting:
        return "idle", "there is nothing to do"
    if jobs.get(JobState.PAUSED) == waiting:
        return "waiting", f"all {waiting:,} jobs are paused"
    return "waiting", "jobs are about to start" if has_workers else "jobs wait for workers"


def worker(now: WorkerNow, held: RunningUnit | None) -> wire.WorkerView:
    """Return a worker and the unit that it holds."""
    joined = now.joined
    return wire.WorkerView(
        name=joined.worker,
        kind=joined.kind,
        node=joined.node,
        device=joined.device,
        threads=joined.threads,
        memory=joined.memory,
        state=now.state,
        since=now.since,
        unit=wire.WorkedUnit(job=held.job, name=held.name, done=held.done) if held else None,
        installed=list(joined.installed),
    )


def task(
    kind: type[Task], plugin: str, presets: Mapping[str, Mapping[str, Any]], roots: Roots
) -> wire.TaskView:
    """Return a task with the schema of its parameters, and its presets, with their files as ROOT/path."""
    return wire.TaskView(
        name=kind.name,
        title=inspect.cleandoc(kind.__doc__ or "").partition("\n")[0],
        kind="run" if issubclass(kind, Run) else "effect",
        params=kind.Params.model_json_schema(),
        presets={name: shown_params(params, roots) for name, params in presets.items()},
        endless=is_endless(kind),
        plugin=plugin,
    )


def job(
    current: Job,
    known: JobCounts,
    running: Mapping[str, RunningUnit],
    seconds_left: Callable[[str, int], float | None],
    roots: Roots,
    *,
    notes: Sequence[Notice] = (),
    is_preview: bool = False,
) -> wire.JobView:
    """Return a job. running: units that workers hold."""
    counts, seen = known.units, known.seen
    total = sum(counts.values())
    done = sum(n for state, n in counts.items() if state.is_done)
    failed = counts.get(UnitState.QUARANTINED, 0)
    ended = sum(n for state, n in counts.items() if state.is_final)
    worked = ended + sum(unit.done for unit in running.values())
    is_running = current.state is JobState.RUNNING
    return wire.JobView(
        id=current.id,
        name=current.spec.name or current.id,
        owner=current.spec.owner,
        task=current.spec.task,
        state=current.state,
        reason=roots.hidden(current.reason),
        since=current.since,
        wanted=current.wanted,
        priority=current.spec.priority,
        created=current.created,
        after=list(current.spec.after),
        counts={str(state): n for state, n in counts.items()},
        frames=total,
        done=done,
        failed=failed,
        seen=wire.SeenView(**seen.as_dict()) if seen else None,
        notes=[roots.hidden(f"{roots.shown(each.url)}: {each.note}") for each in notes],
        progress=min(1.0, worked / total) if total else 0.0,
        eta=seconds_left(current.id, total - ended) if is_running else None,
        spec=shown_spec(current.spec, roots),
        device=current.device,
        preview=is_preview,
    )


def unit(record: UnitRecord, running: Mapping[str, RunningUnit], roots: Roots) -> wire.UnitView:
    """Return a unit. running: units that workers hold, by name."""
    held = running.get(record.unit.name)
    done = held.done if held else 1.0 if record.state.is_done else 0.0
    return wire.UnitView(
        number=record.number,
        name=record.unit.name,
        state=record.state,
        source=shown_source(record.unit.source, roots),
        target=roots.shown(record.unit.target),
        attempt=record.attempts,
        reason=roots.hidden(record.reason),
        worker=held.worker if held else "",
        done=done,
        seconds=record.figures.seconds if record.figures else {},
        since=None,
    )


def shown_source(source: str, roots: Roots) -> str:
    return source if not source or source.startswith("blank:") else roots.shown(source)


def unit_details(
    view: wire.UnitView, record: UnitRecord, story: Sequence[StoryLine], roots: Roots
) -> wire.UnitDetails:
    """Return a unit with its story and its failures."""
    failures = [
        wire.FailureView(attempt=n, reason=failure.reason, message=roots.hidden(failure.message))
        for n, failure in enumerate(record.failures, 1)
    ]
    content = view.model_dump() | {"since": story[-1].at if story else None}
    lines = [story_line(line, roots) for line in story]
    return wire.UnitDetails(**content, story=lines, failures=failures)


def story_line(line: StoryLine, roots: Roots) -> wire.StoryView:
    """Return a change of a unit's state."""
    return wire.StoryView(
        id=line.number,
        at=line.at,
        unit=line.unit,
        state=line.state,
        attempt=line.attempt,
        worker=line.worker,
        reason=roots.hidden(line.reason),
        by=line.by,
    )
