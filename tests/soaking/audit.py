"""What must be true after a job has ended, whatever befell it on the way."""

import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from soaking.jobs import Job
from sqlalchemy import bindparam, create_engine, text

CHECKPOINTS = "checkpoints/"
REPORTS = {"curves.png", "index.html"}
"""What a run draws of its latest steps, with the time and the speed."""

SHARED_MEMORY_SECONDS = 5
"""Files in shared memory come and go; those that nobody uses for so long are left behind."""

CACHES = ("torchinductor_",)
"""Folders that libraries keep for good among the temporary files, once for each user."""


def faults_of(job: Job, quiet: dict[str, str], changed: float, crashes: int) -> Iterator[str]:
    """Yield what is wrong with a job that has ended.

    quiet: the digests of the undisturbed job's outputs. changed: when an input last changed, Unix
    seconds. crashes: how many starts could not tidy up.
    """
    yield from differences(results(job), quiet)
    yield from _left_behind(job)
    yield from _left_of_ray(job, crashes)
    yield from _redone(job.ledger, changed)
    for number, start in enumerate(job.starts):
        if "Traceback (most recent call last)" in start.stderr:
            yield f"start {number} printed a traceback"


def results(job: Job) -> dict[str, str]:
    """Return the digests of the outputs that do not depend on when a job was stopped."""
    return {
        name: digest
        for name, digest in job.outputs().items()
        if not name.startswith(CHECKPOINTS) and name not in REPORTS
    }


def differences(written: dict[str, str], quiet: dict[str, str]) -> Iterator[str]:
    """Yield where outputs are not those of the undisturbed job. Both are digests by name."""
    for name in sorted(quiet.keys() - written.keys()):
        yield f"lost: {name} is not there"
    for name in sorted(written.keys() - quiet.keys()):
        yield f"left behind: {name}"
    for name in sorted(written.keys() & quiet.keys()):
        if written[name] != quiet[name]:
            yield f"wrong: {name} differs from that of the quiet job"


def has_ended(job: Job) -> bool:
    """Return whether the ledger says that the latest job has ended."""
    rows = _ask(job.ledger, "select state from jobs order by created desc limit 1")
    return bool(rows) and rows[0][0] in {"completed", "failed", "cancelled"}


def _ask(ledger: str, query: str, **values: object) -> list[Any]:
    """Return the rows that a query finds in a ledger."""
    engine = create_engine(ledger.replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.connect() as connection:
            parameters = [bindparam(name) for name in values]
            return list(connection.execute(text(query).bindparams(*parameters), values))
    finally:
        engine.dispose()


def _left_behind(job: Job) -> Iterator[str]:
    places = {"output": job.out, "inputs": job.folder / "in", "temporary": job.folder / "tmp"}
    for label, folder in places.items():
        for path in sorted(folder.rglob("*")):
            parts = path.relative_to(folder).parts
            is_hidden = any(part.startswith(".") for part in parts)
            if is_hidden or (label == "temporary" and not parts[0].startswith(CACHES)):
                yield f"left behind in the {label} folder: {path.relative_to(folder)}"
    if job.place:
        yield from (f"left behind in the bucket: {what}" for what in job.place.left_behind())


def _left_of_ray(job: Job, crashes: int) -> Iterator[str]:
    """Yield the folders of Ray's sessions, except those whose farm or whose raylet was killed."""
    sessions = sorted(path.name for path in (job.folder / "ray").glob("**/session_2*"))
    if len(sessions) > crashes:
        yield f"left behind by Ray after {crashes} crashes: {', '.join(sessions)}"


def new_shared_memory(before: set[str]) -> set[str]:
    """Return the files that are new in shared memory, and that stay though no process uses them."""
    new = shared_memory() - before
    for _ in range(SHARED_MEMORY_SECONDS):
        if new:
            time.sleep(1)
            new &= shared_memory()
    return new


def shared_memory() -> set[str]:
    """Return the files in shared memory that no living process has open or mapped."""
    names = {path.name for path in Path("/dev/shm").iterdir()}  # noqa: S108 - shared by all
    if not names:
        return names
    in_use = ""
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            in_use += maps.read_text(errors="replace")
    return {name for name in names if f"/dev/shm/{name}" not in in_use}  # noqa: S108


def _redone(ledger: str, changed: float) -> Iterator[str]:
    """Yield each unit that was leased again after it had succeeded since the last change."""
    query = """
        select units.target, units.name, story.state, story.at from story
        join units on units.job = story.job and units.name = story.unit
        join jobs on jobs.id = story.job
        where jobs.created > :changed and story.state in ('succeeded', 'leased')
        order by story.id
    """
    done: set[str] = set()
    for target, name, state, _at in _ask(ledger, query, changed=changed):
        if target in done:
            yield f"redone: {name} was {state} after it had succeeded"
        if state == "succeeded":
            done.add(target)
