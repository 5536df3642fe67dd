"""One farm runs a run, a film, stills and a large still at once, each as if it were alone."""

from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from farm.app import Farm, make_executor, open_farm
from farm.host.executor import ExecutorOptions
from farm.host.registry import Registry
from farm.model.events import News, UnitChanged, WorkerChanged
from farm.model.job import FilmOptions, Job, JobSpec, JobState, Plan
from farm.model.unit import UnitState

from ..clips import Clip  # noqa: TID252 - shared between rooms
from .conftest import bytes_of, draw

pytestmark = [pytest.mark.ray, pytest.mark.slow]

EXAMPLES = Path(__file__).parents[2] / "plugins" / "examples"
QUICK = {"octaves": 1, "iterations": 1, "layers": ["conv3"]}
STILLS = 30
S = UnitState


class Holders:
    """An observer that notes which workers held each unit, and when units began and ended."""

    def __init__(self) -> None:
        self.of: dict[str, set[str]] = {}
        self.order: list[tuple[str, UnitState]] = []
        self._unit = ""

    def on_event(self, event: News) -> None:
        match event:
            case UnitChanged(unit, state):
                self.order.append((unit.job, state))
                if state is S.LEASED:
                    self._unit = f"{unit.job} {unit.name}"
            case WorkerChanged(worker, state="busy"):
                self.of.setdefault(self._unit, set()).add(worker)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for number in range(STILLS):
        draw(folder / "stills" / f"{number:02}.png", 48, 64, seed=number)
    draw(folder / "large.png", 240, 320, seed=99)
    Clip(times=range(14)).write(folder / "clip.mp4")
    return folder


@pytest.fixture
def holders() -> Holders:
    return Holders()


@pytest.fixture
def farm(
    ray_cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, holders: Holders
) -> Iterator[Farm]:
    monkeypatch.setenv("FARM_LEDGER", str(tmp_path / "ledger.db"))
    registry = Registry.load(EXAMPLES)
    options = ExecutorOptions(workers=2, plugins_dir=EXAMPLES)
    make = partial(make_executor, registry, options)
    with open_farm(registry, make, observers=[holders]) as farm:
        yield farm


def jobs(sources: Path, output: Path) -> list[JobSpec]:
    """Return a run for two workers, a coherent film, stills, and a large still for two workers."""

    def job(task: str, source: str, target: str, **changes: Any) -> JobSpec:
        return JobSpec(
            task=task, inputs=(f"{sources}/{source}",), output=f"{output}/{target}", **changes
        )

    film = FilmOptions(coherence="flow")
    return [
        job("denoise", "stills", "run", params={"steps": 20}, workers=2),
        job("dream", "clip.mp4", "clip.mp4", params=QUICK, film=film),
        job("dream", "stills", "stills/", params=QUICK),
        job("dream", "large.png", "large.png", params=QUICK, plan=Plan(tile=160), workers=2),
    ]


def serve(farm: Farm, answers: list[Future[Job]]) -> list[Job]:
    def is_over() -> bool:
        return all(answer.done() for answer in answers) and farm.controller.scheduler.is_done

    farm.controller.serve(is_over)
    return [farm.controller.job(answer.result().id) for answer in answers]


def results(folder: Path) -> dict[str, bytes]:
    """Return the files that jobs wrote, of the run only its result."""
    files = {f"stills/{name}": data for name, data in bytes_of(folder / "stills").items()}
    named = ("clip.mp4", "large.png", "run/denoise.safetensors")
    return files | {name: (folder / name).read_bytes() for name in named}


def test_jobs_of_every_kind_share_a_farm_and_write_the_bytes_they_write_alone(
    farm: Farm, holders: Holders, sources: Path, tmp_path: Path
) -> None:
    for spec in jobs(sources, tmp_path / "alone"):
        assert serve(farm, [farm.controller.submit(spec)])[0].state is JobState.COMPLETED
    holders.of.clear()
    holders.order.clear()
    specs = jobs(sources, tmp_path / "together")
    together = serve(farm, [farm.controller.submit(spec) for spec in specs])
    assert [job.state for job in together] == [JobState.COMPLETED] * 4
    assert results(tmp_path / "together") == results(tmp_path / "alone")
    for job in (together[0], together[3]):
        assert [len(held) for unit, held in holders.of.items() if unit.startswith(job.id)] == [2]
    first_still = holders.order.index((together[2].id, S.LEASED))
    assert first_still < holders.order.index((together[1].id, S.SUCCEEDED)), (
        "stills waited for the film"
    )
