"""``farm ledger``: what the ledger contains, and removing what is old from it."""

import re
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import click

from farm.cli.listings import AS_JSON
from farm.cli.local_jobs import INTERRUPTED_STATE
from farm.cli.repeated import CommandGroup
from farm.cli.streams import echo
from farm.cli.table import show_json, show_table
from farm.settings import Settings

if TYPE_CHECKING:
    from farm.ledger import Ledger

DAY: Final = 86_400.0
UNITS: Final = {"h": DAY / 24, "d": DAY, "w": 7 * DAY}
"""Seconds in each unit of an age."""


def age_seconds(_context: click.Context, _option: click.Parameter, age: str) -> float:
    """Return the seconds in an age such as 12h, 30d or 8w."""
    match = re.fullmatch(r"(\d{1,6})([hdw])", age)
    if match is None:
        allowed = "a number of hours, days or weeks, such as 12h, 30d or 8w"
        raise click.BadParameter(f"{age!r} is not {allowed}")
    return int(match[1]) * UNITS[match[2]]


@click.group(cls=CommandGroup)
def ledger() -> None:
    """Show the ledger of jobs, and remove old jobs from it."""


@ledger.command()
@AS_JSON
def info(*, is_json: bool) -> None:
    """Show where the ledger is, how large it is, its jobs by state, and which service has it."""
    from farm.ledger import Ledger
    from farm.ledger.tables import HEAD

    with closing(Ledger.open_existing(Settings().ledger_url)) as ledger:
        service, jobs = ledger.holder(time.time()), _totals(ledger)
        facts = {"address": ledger.address, "revision": HEAD, "bytes": ledger.size()}
    facts |= {"jobs": jobs, "service": str(service.process) if service else None}
    if is_json:
        show_json(facts)
        return
    counts = [f"{count:,} {state}" for state, count in sorted(jobs.items())]
    shown = facts | {"jobs": counts or "none", "service": facts["service"] or "none"}
    show_table(({"field": f, "value": v} for f, v in shown.items()), ("field", "value"))


def _totals(ledger: "Ledger") -> dict[str, int]:
    """Return the number of jobs in each state, as lists of jobs show it."""
    abandoned = ledger.abandoned_totals(time.time())
    totals = {str(state): count for state, count in (ledger.job_totals() - abandoned).items()}
    return totals | ({INTERRUPTED_STATE: abandoned.total()} if abandoned else {})


@ledger.command()
@click.option(
    "--older-than",
    callback=age_seconds,
    required=True,
    metavar="AGE",
    help="Jobs that ended longer ago than this, such as 12h, 30d or 8w.",
)
@click.option(
    "--keep", type=click.IntRange(min=0), default=0, metavar="N", help="Keep the last N anyway."
)
def forget(*, older_than: float, keep: int) -> None:
    """Remove jobs that ended long ago from the ledger. Their files stay.

    A job that failed or was cancelled stays until a later one takes its place, because it can be
    resumed. The freed space is used again; the database does not shrink.
    """
    from farm.ledger import Ledger

    with closing(Ledger.open_existing(Settings().ledger_url)) as ledger:
        count = ledger.forget(time.time() - older_than, keep)
    echo(f"removed {count:,} job{'' if count == 1 else 's'} from the ledger; all files stay")
