"""A client, and the two services that it is tested with: a fake, and the real one."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from farm.client import Client

from ..service.conftest import Serve, serve  # noqa: TID252 - the real service
from ..workbench import pictures, registry  # noqa: TID252 - shared between rooms
from .fake_service import Fake, served

__all__ = ["pictures", "registry", "serve"]


@dataclass(frozen=True)
class Place:
    """A service that is running, with the roots photos (with a.png, b.png, c.png), out and uploads."""

    url: str
    token: str

    def client(self, token: str | None = None) -> Client:
        return Client(self.url, self.token if token is None else token)


Services = Callable[..., AbstractContextManager[Place]]


@pytest.fixture(params=["fake", "real"])
def services(request: pytest.FixtureRequest) -> Services:
    """Start a service: ``with services(hanging=["a"], token=True) as place``."""
    return _real(request.getfixturevalue("serve")) if request.param == "real" else _fake


@contextmanager
def _fake(hanging: Sequence[str] = (), *, token: bool = False) -> Iterator[Place]:
    secret = "farm_secret" if token else ""
    with served(Fake(hanging, secret)) as url:
        yield Place(url, secret)


def _real(serve: Serve) -> Services:
    @contextmanager
    def start(hanging: Sequence[str] = (), *, token: bool = False) -> Iterator[Place]:
        with serve({name: ["hang"] for name in hanging}, token=token) as service:
            secret = service.client.headers.get("authorization", "").removeprefix("Bearer ")
            yield Place(f"http://127.0.0.1:{service.port}", secret)

    return start


@pytest.fixture
def client(services: Services) -> Iterator[Client]:
    """A client of a service whose units succeed at once."""
    with services() as place, place.client() as client:
        yield client


@pytest.fixture
def fake() -> Iterator[tuple[Fake, Client]]:
    """A fake service that breaks on demand, and its client."""
    fake = Fake()
    with served(fake) as url, Client(url) as client:
        yield fake, client


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """A picture of this machine."""
    from PIL import Image

    path = tmp_path / "mine" / "my picture.png"
    path.parent.mkdir()
    Image.new("RGB", (8, 8), "yellow").save(path)
    return path
