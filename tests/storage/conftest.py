"""The kinds of storage that the tests of this room use, and copies of their own."""

import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from farm.storage import Scheme, add_schemes, scheme_of
from farm.storage.local_disk import LocalDisk
from farm.storage.s3 import S3
from farm.storage.s3_client import Connection

from ..fake_storage import farm_storage  # noqa: TID252 - shared between rooms
from ..faulty_proxy import Proxy, faulty_proxy  # noqa: TID252 - shared between rooms
from ..servers import (  # noqa: TID252 - shared between rooms
    KEYS,
    Server,
    ceph_server,
    has_ceph,
    moto_server,
)

SERVERS = ("moto", pytest.param("ceph", marks=pytest.mark.xdist_group("ceph")))
REMOTE = ("folder", *SERVERS)


@dataclass(frozen=True)
class Storage:
    """A kind of storage, and an empty place in it. refused: a URL where nothing may be written."""

    scheme: Scheme
    root: str
    refused: str = ""

    def url(self, name: str) -> str:
        return f"{self.root}/{name}"


@pytest.fixture(autouse=True)
def own_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copies of remote files for the test alone."""
    monkeypatch.setenv("FARM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture(scope="session")
def moto() -> Iterator[Server]:
    with moto_server() as server:
        yield server


@pytest.fixture(scope="session")
def ceph(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not has_ceph():
        pytest.skip("Ceph is not installed: apt-get install radosgw ceph-mon ceph-osd")
    with ceph_server(tmp_path_factory.mktemp("ceph")) as server:
        yield server


@pytest.fixture(params=SERVERS)
def server(request: pytest.FixtureRequest) -> Server:
    """Each S3 server."""
    found: Server = request.getfixturevalue(request.param)
    return found


@pytest.fixture(scope="session")
def moto_proxy(moto: Server) -> Iterator[Proxy]:
    with faulty_proxy(moto.endpoint) as proxy:
        yield proxy


@pytest.fixture(scope="session")
def ceph_proxy(ceph: Server) -> Iterator[Proxy]:
    with faulty_proxy(ceph.endpoint) as proxy:
        yield proxy


@pytest.fixture
def proxy(server: Server, request: pytest.FixtureRequest) -> Proxy:
    """A proxy before each S3 server, without faults and without requests.

    A test connects to it anew, because a connection retries less after much has failed.
    """
    connected.cache_clear()
    name = "ceph_proxy" if server.admin else "moto_proxy"
    proxy: Proxy = request.getfixturevalue(name)
    proxy.faults.clear()
    proxy.requests.clear()
    return proxy


@pytest.fixture
def bucket(server: Server, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A new bucket of each S3 server."""
    return make_bucket(server, monkeypatch)


@pytest.fixture(params=("disk", *REMOTE))
def storage(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    """Each kind of storage."""
    place = tmp_path / "storage"
    if request.param == "disk":
        place.mkdir()
        return Storage(LocalDisk(), str(place))
    return make_remote(request, tmp_path, monkeypatch)


@pytest.fixture(params=REMOTE)
def remote(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    """Each kind of remote storage."""
    return make_remote(request, tmp_path, monkeypatch)


def make_remote(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Storage:
    if request.param != "folder":
        return make_bucket(request.getfixturevalue(request.param), monkeypatch)
    add_schemes(farm_storage())
    root = f"folder://{tmp_path}/storage"
    return Storage(scheme_of(root), root, f"folder://{tmp_path}/.refuse/a.png")


def make_bucket(server: Server, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """Make a bucket, and let this process and those that it starts use the server."""
    scheme = use(server.endpoint, monkeypatch)
    bucket = f"test-{secrets.token_hex(6)}"
    scheme._client.create_bucket(Bucket=bucket)
    return Storage(scheme, f"s3://{bucket}", "s3://there-is-none/a.png")


def use(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, keys: tuple[str, str] = KEYS, **options: float
) -> S3:
    """Let S3 be at an endpoint. options: of its connection."""
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, "/dev/null")
    monkeypatch.setenv("FARM_S3_ENDPOINT", endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[0])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[1])
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    scheme = connected(endpoint, *keys, **options)
    add_schemes({"s3": lambda: scheme})
    return scheme


@cache
def connected(_endpoint: str, _access: str, _secret: str, **options: float) -> S3:
    """Connect as the environment says, once for all tests, because that takes half a second."""
    scheme = S3(Connection(**options))
    assert scheme._client
    return scheme
