"""A service that is killed at any moment loses no job, and repeats nothing that had succeeded."""

import signal
from itertools import product
from pathlib import Path
from random import Random

import pytest

from ..clips import Clip, scene  # noqa: TID252 - shared between rooms
from ..postgres_server import (  # noqa: TID252 - shared between rooms
    PostgresServer,
    postgres,
)
from .conftest import draw
from .mix import MIX, STILLS_AND_FILM, made, undisturbed
from .services import digests_of, faults_of, submit_and_wait, work_off

__all__ = ["postgres"]

pytestmark = pytest.mark.slow

POINTS = (
    *("submit.before:1", "submit.after:1", "submit.after:2", "plan.before:1", "plan.after:2"),
    *("store.before:1", "store.after:1", "store.before:2", "store.after:2"),
    *("record.before:1", "record.after:1", "record.before:6", "record.after:6"),
    *("assign.before:1", "assign.after:1", "assign.after:5", "poll.after:8", "poll.after:15"),
    *("announce.before:1", "announce.before:12", "announce.after:30", "record.after:17"),
)
"""Where the service is killed, and at which time that it comes there; see services.PLUGIN."""

DEATHS = 4
"""In a row: a unit that five services in a row die of is given up."""

QUICK = {"record.after:6", "assign.after:5"}

STILLS = 6


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for number in range(STILLS):
        draw(folder / "stills" / f"{number}.png", 48, 64, seed=number)
    draw(folder / "style.png", 64, 96, seed=20)
    draw(folder / "large.png", 176, 240, seed=30)
    Clip(times=range(12), sound="aac", draw=scene).write(folder / "clip.mp4")
    return folder


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> dict[str, str]:
    return undisturbed(tmp_path_factory.mktemp("quiet"), sources, STILLS_AND_FILM)


@pytest.fixture(scope="module")
def quiet_mix(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> dict[str, str]:
    return undisturbed(tmp_path_factory.mktemp("mix"), sources, MIX)


@pytest.fixture
def database(request: pytest.FixtureRequest, kind: str) -> PostgresServer | None:
    """The server of the ledger, if there is one."""
    return request.getfixturevalue("postgres") if kind == "postgres" else None


@pytest.mark.parametrize(
    ("kind", "point"),
    [
        pytest.param(k, p, marks=() if k == "sqlite" and p in QUICK else pytest.mark.proof)
        for k, p in product(("sqlite", "postgres"), POINTS)
    ],
)
def test_a_service_that_is_killed_at_a_point_goes_on_as_if_nothing_had_been(
    tmp_path: Path,
    sources: Path,
    quiet: dict[str, str],
    database: PostgresServer | None,
    point: str,
) -> None:
    ledger = database.new_database() if database else ""
    with made(tmp_path / "service", sources, ledger) as service:
        service.start(death=point)
        assert not submit_and_wait(service, STILLS_AND_FILM)
        assert service.wait() == -signal.SIGKILL
        if database:
            database.restart()
        service.start()
        work_off(service, STILLS_AND_FILM)
        assert service.stop() == 0
        assert [*faults_of(service, STILLS_AND_FILM)] == []
        assert digests_of(service.folder / "out") == quiet


@pytest.mark.proof
@pytest.mark.ray
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("kind", "seed"), [("sqlite", 0), ("sqlite", 1), ("postgres", 2)])
def test_a_service_on_a_pool_that_is_killed_at_random_moments_loses_and_repeats_nothing(
    tmp_path: Path,
    sources: Path,
    quiet_mix: dict[str, str],
    database: PostgresServer | None,
    seed: int,
) -> None:
    chance = Random(seed)
    ledger = database.new_database() if database else ""
    with made(tmp_path / "service", sources, ledger, ("--workers", "2")) as service:
        for _ in range(DEATHS):
            service.start()
            if submit_and_wait(service, MIX, seconds=chance.uniform(0.1, 20)):
                break
            assert service.wait() == -signal.SIGKILL
            assert service.orphans() == []
            if database:
                database.restart()
        if not service.is_running:
            service.start()
        work_off(service, MIX)
        assert service.stop() == 0
        assert service.orphans() == []
        assert [*faults_of(service, MIX)] == []
        assert digests_of(service.folder / "out") == quiet_mix
