"""``--dry-run``: what a job would make, and what that would cost by this machine's own record."""

import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict
from functools import partial
from typing import Any

from farm.cli.display import duration
from farm.cli.exits import Exit
from farm.cli.streams import echo
from farm.cli.table import show_json
from farm.execution.contexts import check_context
from farm.execution.resuming import check_resumed
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import Notice, ReadProgress
from farm.model.job import JobSpec
from farm.model.job_counts import share_seen
from farm.model.work import Join, Render, Train
from farm.planning.checking import task_check
from farm.planning.estimating import estimate
from farm.planning.submission import Planner, Submission
from farm.settings import Settings

__all__ = ["amount", "costs", "dry_run"]


def dry_run(
    registry: Registry, spec: JobSpec, *, resume: bool, workers: int, is_json: bool
) -> Exit:
    """Print what a job would make and cost. Raises UserError if it would be refused.

    workers: that would render it.
    """
    check = task_check(registry, partial(check_context, registry))

    def notify(event: ReadProgress | Notice) -> None:
        if isinstance(event, Notice) and not is_json:
            echo(f"{event.url}: {event.note}", err=True)

    with closing(Ledger.open(_ledger_url())) as ledger:
        planner = Planner(
            registry, ledger, notify, check, check_resumed=partial(check_resumed, registry)
        )
        submission = planner.plan(spec, time.time(), resume=resume)
        found = estimate(submission, ledger, workers=workers)
    if is_json:
        show_json(asdict(found))
        return Exit.DONE
    echo(_made(submission, found.pixels))
    for line in costs(asdict(found)):
        echo(line)
    if found.seconds is not None and _measures_flicker(submission):
        echo("at the end, the flicker is measured, which is not part of the time")
    return Exit.DONE


def _measures_flicker(submission: Submission) -> bool:
    """Return whether the command measures films once they are written, for up to a minute or so each."""
    is_coherent = submission.job.spec.film.coherence != "none"
    return is_coherent and any(isinstance(one.unit.work, Join) for one in submission.units)


def _ledger_url() -> str:
    """Return the URL of this machine's ledger, or of an empty one that leaves no file."""
    path = Settings().ledger_path
    return Settings().ledger_url if path is None or path.exists() else "sqlite://"


def _made(submission: Submission, pixels: int) -> str:
    left = [one.unit for one in submission.units if not one.state.is_final]
    if any(isinstance(unit.work, Train) for unit in left):
        return f"would train {submission.job.spec.output}"
    rendered = sum(isinstance(unit.work, Render) for unit in left)
    frames = round(rendered * share_seen(one.unit for one in submission.units))
    films = sum(isinstance(unit.work, Join) for unit in left)
    joined = f" for {films} film{'s' if films > 1 else ''}" if films else ""
    plural = "s" if frames != 1 else ""
    return f"would render {frames} frame{plural}{joined}, {amount(pixels)}"


def costs(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield a line for each cost that is known, and the notes. found: the fields of an Estimate."""
    if found["seconds"] is not None:
        pace = f"{found['seconds_per_megapixel'] or 0:.1f} s per megapixel"
        plural = "s" if found["based_on"] != 1 else ""
        based = f"{pace}, as measured on {found['based_on']} frame{plural}"
        yield f"time: about {duration(found['seconds'])} ({based})"
    if found["bytes"] is not None:
        yield f"disk: about {_bytes(found['bytes'])}"
    yield from found["notes"]


def amount(pixels: int) -> str:
    """Return a number of pixels in words; below a tenth of a megapixel, as it is."""
    return f"{pixels / 1e6:.1f} megapixels" if pixels >= 1e5 else f"{pixels:,} pixels"


def _bytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB"
