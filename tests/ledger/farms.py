"""Jobs and changes for tests of the ledger, and farms that act at the same moment."""

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from farm.errors import FarmError
from farm.ledger import Ledger
from farm.model.events import UnitChanged
from farm.model.history import RestoredUnit
from farm.model.job import Job, JobSpec
from farm.model.job_counts import JobCounts, Seen
from farm.model.messages import Figures
from farm.model.unit import Unit, UnitState
from farm.process import SILENT_SECONDS

S = UnitState
SPEC = JobSpec(task="copy", inputs=("in",), output="out/")
NOW = 1000.0
LATER = NOW + SILENT_SECONDS


def job(name: str = "job", created: float = NOW) -> Job:
    return Job(name, SPEC, created)


def unit(name: str, job: str = "job") -> Unit:
    return Unit(job, name, f"in/{name}", f"out/{name}")


def ready(*names: str, job: str = "job") -> list[RestoredUnit]:
    return [RestoredUnit(unit(name, job), S.READY) for name in names]


def running(name: str, job: str = "job") -> UnitChanged:
    return UnitChanged(unit(name, job), S.RUNNING, 1)


def done(name: str, job: str = "job") -> UnitChanged:
    return UnitChanged(unit(name, job), S.SUCCEEDED, 1, figures=Figures())


def at_once(*calls: Callable[[], object]) -> list[object]:
    """Make calls at the same moment, each on its own thread; return what they return or raise."""
    barrier = Barrier(len(calls))

    def make(call: Callable[[], object]) -> object:
        barrier.wait()
        try:
            return call()
        except FarmError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(make, calls))


def assert_counts_are_right(ledger: Ledger) -> None:
    """Check that the counts of every job are those of its units."""
    for found in ledger.jobs(limit=10_000):
        states = Counter(record.state for record in ledger.units(found.id))
        seen = Seen(states.total(), states) if states else None
        assert ledger.counts_of([found.id]) == {found.id: JobCounts(states, seen)}
