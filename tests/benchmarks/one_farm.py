"""Run jobs of every kind on one farm at once, and print who held which worker when.

    python tests/benchmarks/one_farm.py [--workers 2] [--stills 200] [--steps 150] [--threads 1]

A run and a large still that all workers share, a coherent film and a folder of stills are submitted
together. Prints the timeline of the workers, and how long each job waited and took. Then each job runs
alone on the same workers, and the bytes of both are compared.
"""

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from film import draw_film
from overhead import draw_frames

from farm.app import Farm, make_executor, open_farm
from farm.host.executor import ExecutorOptions
from farm.host.registry import Registry
from farm.model.events import News, UnitChanged, WorkerChanged
from farm.model.job import FilmOptions, Job, JobSpec, Plan
from farm.model.unit import UnitState

EXAMPLES = Path(__file__).parents[2] / "plugins" / "examples"
KINDS = ("run", "film", "stills", "large")
RESULTS = {"run": "run/denoise.safetensors", "film": "film.mp4", "large": "large.png"}
COLUMNS = 72


@dataclass
class Timeline:
    """An observer that notes which job each worker works for, and when.

    Times are in seconds since the first worker joined.
    """

    began: float = 0.0
    spans: dict[str, list[tuple[float, float, str]]] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    last: dict[str, float] = field(default_factory=dict)
    gaps: dict[str, float] = field(default_factory=dict)
    _job: str = ""
    _open: dict[str, tuple[float, str]] = field(default_factory=dict)

    def on_event(self, event: News) -> None:
        self.began = self.began or time.perf_counter() * isinstance(event, WorkerChanged)
        now = time.perf_counter() - self.began
        match event:
            case UnitChanged(unit, UnitState.LEASED):
                self._job = unit.job
                idle = now - self.last.get(unit.job, 0.0)
                self.gaps[unit.job] = max(self.gaps.get(unit.job, 0.0), idle)
                self.first.setdefault(unit.job, now)
                self.last[unit.job] = now
            case UnitChanged(unit, state) if state.is_final:
                self.last[unit.job] = now
            case WorkerChanged(worker, state="busy"):
                self._open[worker] = now, self._job
            case WorkerChanged(worker) if worker in self._open:
                begun, job = self._open.pop(worker)
                self.spans.setdefault(worker, []).append((begun, now, job))

    def print(self, letters: dict[str, str]) -> None:
        """Print a row for each worker. letters: of each job; a column shows who had most of it."""
        end = max(self.last.values())
        print(f"timeline of {end:.0f} s, {end / COLUMNS:.1f} s a column; . is idle")
        for worker, spans in sorted(self.spans.items()):
            row = (
                _holder(spans, letters, end * i / COLUMNS, end / COLUMNS) for i in range(COLUMNS)
            )
            print(f"  {worker:12} {''.join(row)}")


def _holder(
    spans: list[tuple[float, float, str]], letters: dict[str, str], start: float, width: float
) -> str:
    shares = dict.fromkeys([".", *letters.values()], 0.0)
    shares["."] = width / 2
    for begun, ended, job in spans:
        shares[letters[job]] += max(0.0, min(ended, start + width) - max(begun, start))
    return max(shares, key=shares.__getitem__)


def specs(sources: Path, output: Path, options: argparse.Namespace) -> dict[str, JobSpec]:
    """Return the jobs by kind."""
    plan, workers = Plan(threads=options.threads), options.workers

    def job(task: str, source: str, target: str, **changes: Any) -> JobSpec:
        inputs = (f"{sources}/{source}",)
        return JobSpec(
            task=task, inputs=inputs, output=f"{output}/{target}", **{"plan": plan, **changes}
        )

    dream = {"octaves": 2, "iterations": 4}
    tiled = Plan(threads=options.threads, tile=320)
    film = FilmOptions(coherence="flow")
    return {
        "run": job("denoise", "stills", "run", params={"steps": options.steps}, workers=workers),
        "film": job("dream", "film.mp4", "film.mp4", params=dream, film=film),
        "stills": job("dream", "stills", "stills/", params=dream),
        "large": job(
            "dream", "large/frame_000.png", "large.png", params=dream, plan=tiled, workers=workers
        ),
    }


def serve(farm: Farm, jobs: Sequence[JobSpec]) -> list[Job]:
    """Submit jobs together, and serve until they have ended."""
    answers = [farm.controller.submit(job) for job in jobs]

    def is_over() -> bool:
        return all(answer.done() for answer in answers) and farm.controller.scheduler.is_done

    farm.controller.serve(is_over)
    return [farm.controller.job(answer.result().id) for answer in answers]


def digest(folder: Path, kind: str) -> str:
    """Return a digest of the files of a job."""
    files = sorted((folder / "stills").iterdir()) if kind == "stills" else [folder / RESULTS[kind]]
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--stills", type=int, default=200)
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["FARM_LEDGER"] = str(folder / "ledger.db")
        draw_frames(folder / "stills", options.stills, 160, 120)
        draw_frames(folder / "large", 1, 1200, 900)
        draw_film(folder / "film.mp4", options.frames, 160, 120)
        measure(folder, options)


def measure(folder: Path, options: argparse.Namespace) -> None:
    registry, timeline = Registry.load(EXAMPLES), Timeline()
    pool = ExecutorOptions(options.workers, options.threads, plugins_dir=EXAMPLES)
    with open_farm(registry, partial(make_executor, registry, pool), observers=[timeline]) as farm:
        jobs = serve(farm, list(specs(folder, folder / "together", options).values()))
        letters = {job.id: kind[0] for kind, job in zip(KINDS, jobs, strict=True)}
        timeline.print(letters)
        for kind, job in zip(KINDS, jobs, strict=True):
            began, ended = timeline.first[job.id], timeline.last[job.id]
            print(
                f"  {kind[0]} {kind:7} {job.state}: first unit after {began:5.1f} s, "
                f"longest wait for the next {timeline.gaps[job.id]:5.1f} s, done after {ended:5.1f} s"
            )
        for spec in specs(folder, folder / "alone", options).values():
            serve(farm, [spec])
    for kind in KINDS:
        is_same = digest(folder / "together", kind) == digest(folder / "alone", kind)
        print(f"  {kind}: {'the same bytes' if is_same else 'OTHER BYTES'} as alone")


if __name__ == "__main__":
    main()
