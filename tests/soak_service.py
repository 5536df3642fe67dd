"""Kill a service at random moments of a mix of jobs, and audit it: python tests/soak_service.py.

A real ``farm serve`` with two workers makes stills, a coherent film, a training run and a still that both
workers share. It is killed again and again and started each time, often while the processes of its
last life are still ending; with --postgres, its database crashes in every life too. In the end, nothing
may be lost, wrong, redone or left behind. The same seed draws the same moments; what the service
does just then depends on the machine.
"""

import argparse
import shutil
import signal
import sys
import time
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Final

from end_to_end.mix import MIX, made, undisturbed
from end_to_end.services import Service, digests_of, faults_of, submit_and_wait
from postgres_server import PostgresServer
from soaking.audit import differences, new_shared_memory, shared_memory
from soaking.jobs import draw_inputs
from soaking.places import start_postgres

from farm.client import JobHandle
from farm.errors import ServerUnavailable
from farm.ledger import Ledger
from farm.model.unit import UnitState

DREAM: Final = {"iterations": 6, "octaves": 2, "layers": ["conv3"]}
JOBS: Final = (replace(MIX[0], task="dream", params=DREAM), *MIX[1:])
"""Stills that take long enough for the other jobs to be done meanwhile."""

AIMED: Final = ("run", "shared") * 2
"""Jobs of one long unit that deaths aim at."""

MOST_CRASHES: Final = 2
"""How often in a row a long unit may be killed, as the ledger knows; it is given up after five."""

DELAY_SECONDS: Final = 1.0
POLL_SECONDS: Final = 0.02


@dataclass(frozen=True)
class Moment:
    """When a service dies: once it runs a job, or once it has made a number of units.

    token: of the job; empty for any. share: of the units due in each life, 0..1.5. delay: seconds after
    that. rests: whether all its processes have ended before it is started again.
    """

    token: str
    share: float
    delay: float
    rests: bool


def draw_moments(chance: Random, deaths: int) -> list[Moment]:
    tokens = [*AIMED, *[""] * deaths][:deaths]
    chance.shuffle(tokens)
    return [
        Moment(
            token, chance.uniform(0, 1.5), chance.uniform(0, DELAY_SECONDS), chance.random() < 0.5
        )
        for token in tokens
    ]


@dataclass
class Lives:
    """The lives of a service so far. database: the server of its ledger, if it crashes as well."""

    service: Service
    database: PostgresServer | None
    deaths: int = 0
    crashes: int = 0
    faults: list[str] = field(default_factory=list)

    def live(self, moment: Moment, left: int) -> bool:
        """Start the service and kill it at a moment; return False if all is done before that.

        left: how many lives follow.
        """
        began = time.monotonic()
        self.service.start()
        with closing(self.service.client()) as client:
            jobs = [request.submit(client) for request in JOBS]
            done, planned = _done(jobs), sum(job.status.frames for job in jobs)
            wanted = int(moment.share * (planned - done) / (left + 2))
            if self.database and self._wait(jobs, moment, done + wanted // 2):
                self.database.restart()
                self.crashes += 1
            if not self._wait(jobs, moment, done + wanted):
                return False
        time.sleep(moment.delay)
        self.service.kill()
        self.deaths += 1
        what = f"aimed at {moment.token}" if moment.token else f"after {wanted} more units"
        lived = time.monotonic() - began
        if moment.rests:
            self.faults += [
                f"orphan of death {self.deaths}: {each}" for each in self.service.orphans()
            ]
            what += f", its processes {time.monotonic() - began - lived:.0f} s later"
        print(f"death {self.deaths} after {lived:.0f} s: {what}; {_done(jobs)} done", flush=True)
        return True

    def _wait(self, jobs: list[JobHandle], moment: Moment, done: int) -> bool:
        """Wait for a moment; return False if all jobs have ended before that."""
        named = {request.token: job for request, job in zip(JOBS, jobs, strict=True)}
        aimed = [named[moment.token]] if moment.token else []
        spared = [named[token] for token in set(AIMED) if self._is_spared(named[token])]
        while self.service.is_running:
            with suppress(ServerUnavailable):
                if all([job.refresh().has_ended for job in jobs]):  # noqa: C419 - of each
                    return False
                is_over = all(job.status.has_ended for job in aimed) and _done(jobs) >= done
                is_due = is_over or any(job.status.running for job in aimed)
                if is_due and not any(job.status.running for job in spared):
                    return True
            time.sleep(POLL_SECONDS)
        self.faults.append(f"the service ended by itself with {self.service.wait()}")
        return True

    def _is_spared(self, job: JobHandle) -> bool:
        with closing(Ledger.open(self.service.ledger)) as ledger:
            return any(record.crashes >= MOST_CRASHES for record in ledger.units(job.id))

    def finish(self, quiet: dict[str, str]) -> None:
        """Let the service do the rest in peace, and audit all. quiet: the undisturbed outputs."""
        service = self.service
        if not service.is_running:
            service.start()
        if not submit_and_wait(service, JOBS):
            self.faults.append("the service died in peace")
        if code := service.stop():
            self.faults.append(f"the service ended with {code}")
        self.faults += [f"orphan of the end: {name}" for name in service.orphans()]
        self.faults += faults_of(service, JOBS)
        self.faults += differences(digests_of(service.folder / "out"), quiet)
        if "Traceback (most recent call last)" in service.errors:
            self.faults.append("the service printed a traceback")

    def successes(self) -> int:
        """Return how often a unit has succeeded."""
        with closing(Ledger.open(self.service.ledger)) as ledger:
            stories = [ledger.story(job.id, limit=100_000) for job in ledger.jobs(limit=10)]
        return sum(line.state is UnitState.SUCCEEDED for story in stories for line in story)


def _done(jobs: list[JobHandle]) -> int:
    return sum(job.status.done for job in jobs)


def main() -> int:
    """Let a service die; return 1 if the audit found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--deaths", type=int, default=20)
    parser.add_argument("--stills", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", action="store_true", help="with a database that crashes too")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    folder = Path(mkdtemp(prefix="soak-", dir="/tmp"))
    draw_inputs(folder / "sources", 0, options.stills)
    with ExitStack() as stack:
        return run(options, folder, start_postgres(stack) if options.postgres else None)


def run(options: argparse.Namespace, folder: Path, database: PostgresServer | None) -> int:
    sources, memory, began = folder / "sources", shared_memory(), time.monotonic()
    quiet = undisturbed(folder / "quiet", sources, JOBS)
    print(f"undisturbed, it is done after {time.monotonic() - began:.0f} s", flush=True)
    moments = draw_moments(Random(options.seed), options.deaths)
    ledger = database.new_database() if database else ""
    with made(folder / "farm", sources, ledger, ("--workers", "2")) as service:
        service.environment["RAY_TMPDIR"] = str(folder / "ray")
        lives = Lives(service, database)
        lefts = reversed(range(options.deaths))
        if not all(map(lives.live, moments, lefts)):
            lives.faults.append(f"all was done after {lives.deaths} deaths; give it more stills")
        lives.finish(quiet)
    lives.faults += [f"left behind: /dev/shm/{name}" for name in new_shared_memory(memory)]
    print(
        f"{lives.deaths} deaths, {lives.crashes} crashes of the database, {lives.successes()} units"
        f" made, in {time.monotonic() - began:.0f} s (seed {options.seed})"
    )
    return report(lives.faults, folder)


def report(faults: list[str], folder: Path) -> int:
    """Print what was found; keep the evidence if there is any."""
    if not faults:
        shutil.rmtree(folder)
        print("nothing lost, wrong, redone or left behind")
        return 0
    print(f"{len(faults)} faults; evidence in {folder}:")
    for fault in faults:
        print(f"  {fault}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
