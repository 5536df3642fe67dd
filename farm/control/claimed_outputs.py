"""The claims of a farm on the outputs of its jobs, held for as long as each job lives."""

from collections.abc import Container, Iterable, Iterator

from farm.errors import BadOutput
from farm.model.unit import Unit
from farm.model.work import Train
from farm.process import FarmProcess
from farm.storage import EVERYTHING, Claim, claim, join, parent


class ClaimedOutputs:
    """Claims by job."""

    def __init__(self, process: FarmProcess) -> None:
        self._process = process
        self._claims: dict[str, Claim] = {}

    def take(self, job: str, units: Iterable[Unit], now: float) -> None:
        """Claim what the units of a job write. Raises BadOutput if another job writes it.

        now: Unix seconds.
        """
        self._claims[job] = claim(_targets(units), job, self._process, now)

    def beat(self) -> Iterator[tuple[str, str]]:
        """Keep the claims alive; yield each job that has lost its own, with the reason."""
        for job, taken in list(self._claims.items()):
            try:
                taken.beat()
            except BadOutput as error:
                yield job, error.reason

    def touch(self) -> None:
        """Keep the claims alive, from any thread, without a look at whether they were lost."""
        for taken in list(self._claims.values()):
            taken.touch()

    def release(self, job: str) -> None:
        """Give up the outputs of a job, if it has claimed any. Any thread may call it."""
        taken = self._claims.pop(job, None)
        if taken:
            taken.release()

    def release_all(self, *, but: Container[str] = ()) -> None:
        """Give up the outputs of all jobs. but: those that keep theirs."""
        for job in list(self._claims):
            if job not in but:
                self.release(job)


def _targets(units: Iterable[Unit]) -> list[str]:
    """Return the files that stay once the units are done, and the folders of working files.

    For a run, its whole folder.
    """
    return list(dict.fromkeys(map(_target, units)))


def _target(unit: Unit) -> str:
    if isinstance(unit.work, Train):
        return join(parent(unit.target), EVERYTHING)
    return parent(unit.target) if unit.is_working else unit.target
