"""Run mixed jobs under trouble for some minutes, and audit each: python tests/soak.py --minutes N.

Every round runs one job by the real command, on disk or in a bucket, with SQLite or PostgreSQL. Its
starts are killed, stopped, terminated, starved of disk, given another source, a rival, a silent S3
server or a database that restarts; then it is resumed in peace. In the end, nothing may be lost, wrong,
redone or left behind. The same seed draws the same rounds; where exactly a trouble hits
depends on the machine.
"""

import argparse
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Final

import psutil
from soaking.audit import faults_of, has_ended, new_shared_memory, results, shared_memory
from soaking.jobs import KINDS, Job, Kind, Start, draw_inputs, new_job
from soaking.places import Servers, servers
from soaking.trouble import (
    Trouble,
    befall,
    can_mount,
    draw_troubles,
    run_rival,
    small_disk,
    wait_until_gone,
)

END_SECONDS: Final = 120
"""How long a start may take to end after its trouble."""

GONE_SECONDS: Final = 20
"""How long processes may take to notice that their driver is gone."""

VERSIONS: Final = 2


@dataclass(frozen=True)
class Quiet:
    """An undisturbed job: the digests of its outputs, and the number of its events."""

    outputs: dict[str, str]
    events: int


@dataclass
class Soak:
    """The rounds so far. faults: what the audits found. memory: shared memory in use before."""

    folder: Path
    seed: int
    servers: Servers
    can_mount: bool = False
    kills: Counter[str] = field(default_factory=Counter)
    jobs: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    faults: list[str] = field(default_factory=list)
    memory: set[str] = field(default_factory=shared_memory)
    _quiet: dict[tuple[str, int], Quiet] = field(default_factory=dict)

    def inputs(self, version: int) -> Path:
        return self.folder / f"inputs{version}"

    def quiet(self, kind: Kind, version: int) -> Quiet:
        """Return the undisturbed job of a kind."""
        key = (kind.work, version)
        if key not in self._quiet:
            folder = self.folder / f"quiet-{kind.work}-{version}"
            job = new_job(kind.quiet, folder, self.inputs(version), self.servers)
            start = job.start()
            if code := start.process.wait():
                raise SystemExit(f"the quiet {kind.work} ended with {code}: {start.stderr}")
            self._quiet[key] = Quiet(results(job), start.count)
        return self._quiet[key]

    def round(self, number: int) -> None:
        """Run one job through its troubles to its end, and audit it."""
        chance = Random(f"{self.seed}/{number}")
        deck = Random(f"{self.seed}/{number // len(KINDS)}").sample(KINDS, len(KINDS))
        kind = deck[number % len(KINDS)]
        may_be_small = (
            self.can_mount and kind.work not in {"run", "shared", "gan"} and not kind.is_remote
        )
        has_small_disk = may_be_small and chance.random() < 0.3
        has_postgres = bool(self.servers.postgres) and not has_small_disk and chance.random() < 0.5
        troubles = draw_troubles(
            chance, kind, has_small_disk=has_small_disk, has_postgres=has_postgres
        )
        with ExitStack() as stack:
            out = None
            if has_small_disk:
                disk = self.folder / f"disk{number}"
                out = stack.enter_context(small_disk(disk)) / "out"
                out.mkdir()
            place = self.folder / f"round{number}"
            job = new_job(kind, place, self.inputs(0), self.servers, out)
            if has_postgres and self.servers.postgres:
                job.ledger = self.servers.postgres.new_database()
            stack.callback(wait_until_gone, job.mark, 0)
            if has_small_disk and chance.random() < 0.5:
                job.ledger = f"sqlite:///{disk}/ledger.db"
            found = Round(self, job, number).run(troubles)
            if found and has_small_disk:
                shutil.copytree(disk, job.folder / "disk", symlinks=True)
        if not found:
            shutil.rmtree(job.folder)
        self.faults += [f"round {number}, {kind.name}: {fault}" for fault in found]


class Round:
    """One job, its troubles and what is wrong with it."""

    def __init__(self, soak: Soak, job: Job, number: int) -> None:
        self._soak, self._job, self._number = soak, job, number
        self._version, self._changed, self._crashes = 0, 0.0, 0
        self._faults: list[str] = []

    def run(self, troubles: list[Trouble]) -> list[str]:
        """Return what is wrong with the job in the end."""
        job, soak = self._job, self._soak
        began, happened = time.monotonic(), []
        for trouble in troubles:
            expected = soak.quiet(job.kind, self._version).events
            other = soak.inputs((self._version + 1) % VERSIONS)
            start = job.start()
            if befall(trouble, start, job, other, expected):
                happened.append(f"{trouble}")
                soak.kills[trouble.kind] += 1
                self._follow(trouble)
            self._end(start, str(trouble))
            if start.process.returncode == 0 and not self._is_of_one_version():
                self._faults.append(f"wrong: exit 0 with outputs of several sources ({trouble})")
            if start.process.returncode == 0 and trouble.name != "source replaced":
                break
        self._finish()
        quiet = soak.quiet(job.kind, self._version)
        self._faults += faults_of(job, quiet.outputs, self._changed, self._crashes)
        self._faults += self._left_on_the_machine()
        soak.jobs[job.kind.name] += 1
        soak.starts += len(job.starts)
        verdict = "FAULTS" if self._faults else "ok"
        story = "; ".join(happened) or "no trouble"
        seconds = time.monotonic() - began
        print(f"round {self._number}: {job.kind.name}: {story}: {verdict} ({seconds:.0f} s)")
        for fault in self._faults:
            print(f"    {fault}", flush=True)
        sys.stdout.flush()
        return self._faults

    def _follow(self, trouble: Trouble) -> None:
        is_crash = (trouble.name, trouble.target) == ("SIGKILL", "driver")
        self._crashes += is_crash or trouble.target == "raylet"
        if trouble.name == "source replaced":
            self._version = (self._version + 1) % VERSIONS
            self._changed = time.time()
        if trouble.name == "rival":
            self._check_rival()

    def _check_rival(self) -> None:
        """Assert that a second command for the same output is refused in one line."""
        first = self._job.starts[-1].process
        first.send_signal(signal.SIGSTOP)
        try:
            if not has_ended(self._job):
                self._check_refusal()
        finally:
            first.send_signal(signal.SIGCONT)

    def _check_refusal(self) -> None:
        try:
            rival = run_rival(self._job)
        except subprocess.TimeoutExpired:
            self._faults.append("a rival of a running job was not refused")
            return
        if rival.returncode != 2 or len(rival.stderr.splitlines()) != 1:
            self._faults.append(
                f"a rival of a running job ended with {rival.returncode}: {rival.stderr[-500:]}"
            )

    def _end(self, start: Start, after: str) -> None:
        """Wait for a start and all its processes to end."""
        try:
            start.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._faults.append(f"hung: no end {END_SECONDS} s after {after}")
            start.process.kill()
            start.process.wait()
        if left := wait_until_gone(self._job.mark, GONE_SECONDS):
            self._faults.append(f"left behind after {after}: {', '.join(left)}")

    def _finish(self) -> None:
        """Resume the job in peace."""
        start = self._job.start()
        self._end(start, "the last resume")
        if start.process.returncode:
            self._faults.append(
                f"the last resume ended with {start.process.returncode}: {start.stderr[-500:]}"
            )

    def _left_on_the_machine(self) -> list[str]:
        known = {process.pid for process in self._soak.servers.storage}
        children = [
            f"process {child.pid}"
            for child in psutil.Process().children()
            if child.pid not in known
        ]
        memory = [f"/dev/shm/{name}" for name in new_shared_memory(self._soak.memory)]  # noqa: S108
        return [f"left behind: {what}" for what in (*children, *memory)]

    def _is_of_one_version(self) -> bool:
        kind, written = self._job.kind, results(self._job)
        return any(
            all(self._soak.quiet(kind, version).outputs.get(n) == d for n, d in written.items())
            for version in range(VERSIONS if kind.swapped else 1)
        )


def main() -> int:
    """Soak for some minutes; return 1 if an audit found something."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--round", type=int, help="run only this round of the seed")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with servers() as running:
        return run(options, running)


def run(options: argparse.Namespace, running: Servers) -> int:
    folder = Path(mkdtemp(prefix="soak-", dir="/tmp"))
    soak = Soak(folder, options.seed, running)
    if running.postgres is None:
        print("all ledgers are SQLite: PostgreSQL is not installed")
    soak.can_mount = can_mount(folder / "probe")
    if not soak.can_mount:
        print("no disk is filled: only root may mount a small one")
    for version in range(VERSIONS):
        draw_inputs(soak.inputs(version), version)
    deadline = time.monotonic() + 60 * options.minutes
    number = options.round or 0
    while number == (options.round or 0) or time.monotonic() < deadline:
        soak.round(number)
        number += 1
        if options.round is not None:
            break
    return report(soak)


def report(soak: Soak) -> int:
    """Print what was done and found; keep the evidence if there is any."""
    print(f"\n{sum(soak.jobs.values())} jobs, started {soak.starts} times (seed {soak.seed})")
    for label, counts in (("jobs", soak.jobs), ("trouble", soak.kills)):
        print(f"{label}: {', '.join(f'{n} {name}' for name, n in sorted(counts.items()))}")
    if not soak.faults:
        shutil.rmtree(soak.folder)
        print("nothing lost, wrong, redone or left behind")
        return 0
    print(f"{len(soak.faults)} faults; evidence in {soak.folder}:")
    for fault in soak.faults:
        print(f"  {fault}")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
