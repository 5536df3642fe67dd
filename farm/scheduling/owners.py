"""How many workers each owner's jobs hold, so that no owner's jobs crowd out those of others."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(eq=False, slots=True)
class Owner:
    """Who submitted jobs. held: number of workers that hold units of these jobs. jobs: not ended."""

    name: str
    held: int = 0
    jobs: int = 0


class Owners:
    """The owners of all jobs that have not ended. Jobs without an owner have one together."""

    def __init__(self) -> None:
        self._all: dict[str, Owner] = {}

    def join(self, name: str) -> Owner:
        """Return the owner of a new job."""
        owner = self._all.setdefault(name, Owner(name))
        owner.jobs += 1
        return owner

    def leave(self, owner: Owner) -> None:
        """Note that a job of an owner has ended."""
        owner.jobs -= 1
        if not owner.jobs:
            del self._all[owner.name]

    def problems(self, held: Iterable[tuple[Owner, int]]) -> Iterator[str]:
        """Yield every miscount. held: owner of each job, and the workers that the job holds."""
        counts = {name: [0, 0] for name in self._all}
        for owner, workers in held:
            if self._all.get(owner.name) is not owner:
                yield f"owner {owner.name!r} is not known"
                return
            counts[owner.name][0] += workers
            counts[owner.name][1] += 1
        if counts != {name: [owner.held, owner.jobs] for name, owner in self._all.items()}:
            yield "the workers of the owners are miscounted"
