"""A service that is killed at any moment loses no job, and repeats nothing that had succeeded."""

import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..clips import Clip, scene  # noqa: TID252 - shared between rooms
from .conftest import draw
from .services import Request, Service, digests_of, faults_of, submit_and_wait

pytestmark = pytest.mark.slow

REQUESTS = (
    Request("stills", "negative", "in/stills/", "out/stills/"),
    Request(
        "film", "negative", "in/clip.mp4", "out/film.mp4", options={"film": {"coherence": "flow"}}
    ),
)

POINTS = (
    *("plan.before:1", "plan.after:2", "add.before:1", "add.after:1", "add.after:2"),
    *("record.before:1", "record.after:1", "record.before:6", "record.after:6"),
    *("assign.before:1", "assign.after:1", "assign.after:5", "poll.after:8", "poll.after:15"),
    *("announce.before:1", "announce.before:12", "announce.after:30", "record.after:17"),
)
"""Where the service is killed, and at which time that it comes there; see services.PLUGIN."""

QUICK = {"record.after:6", "assign.after:5"}

MakeService = Callable[[], Service]


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    for number in range(6):
        draw(folder / "stills" / f"{number}.png", 48, 64, seed=number)
    Clip(times=range(12), sound="aac", draw=scene).write(folder / "clip.mp4")
    return folder


@contextmanager
def made(folder: Path, sources: Path, ledger: str = "") -> Iterator[Service]:
    """Yield a service that has not been started, and kill it in the end."""
    folder.mkdir(exist_ok=True)
    shutil.copytree(sources, folder / "in")
    environment = {"FARM_CACHE": str(folder / "cache")}
    service = Service(folder, ledger or f"sqlite:///{folder}/ledger.db", environment=environment)
    try:
        yield service
    finally:
        service.kill()


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> dict[str, str]:
    """The digests of what a service writes that nothing befalls."""
    with made(tmp_path_factory.mktemp("quiet"), sources) as service:
        service.start()
        assert submit_and_wait(service, REQUESTS)
        assert service.stop() == 0
        assert not [*faults_of(service, REQUESTS)]
        return digests_of(service.folder / "out")


@pytest.mark.parametrize(
    "point", [pytest.param(p, marks=() if p in QUICK else pytest.mark.proof) for p in POINTS]
)
def test_a_service_that_is_killed_at_a_point_goes_on_as_if_nothing_had_been(
    tmp_path: Path, sources: Path, quiet: dict[str, str], point: str
) -> None:
    with made(tmp_path / "service", sources) as service:
        service.start(death=point)
        assert not submit_and_wait(service, REQUESTS)
        assert service.wait() == -signal.SIGKILL
        service.start()
        assert submit_and_wait(service, REQUESTS)
        assert service.stop() == 0
        assert [*faults_of(service, REQUESTS)] == []
        assert digests_of(service.folder / "out") == quiet
