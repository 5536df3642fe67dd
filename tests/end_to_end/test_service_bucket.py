"""A service on a pool, with its files in a bucket and its ledger in PostgreSQL, asked by a client."""

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import boto3
import httpx
import numpy as np
import pytest
from PIL import Image

from farm.client import JobHandle

from ..clips import Clip, scene  # noqa: TID252 - shared between rooms
from ..postgres_server import (  # noqa: TID252 - shared between rooms
    PostgresServer,
    postgres,
)
from ..servers import KEYS, moto_server  # noqa: TID252 - shared between rooms
from .conftest import draw
from .services import Request, Service

__all__ = ["postgres"]

pytestmark = [pytest.mark.slow, pytest.mark.ray]

STILLS = 4
FILM = Request(
    *("film", "negative", "films/in/clip.mp4", "films/out/film.mp4"),
    options={"film": {"coherence": "flow"}},
)
PICTURES = Request("stills", "negative", "films/in/stills/", "films/out/stills/")


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[tuple[Any, dict[str, str]]]:
    """A bucket with a film and stills, and what a process needs to reach it."""
    access, secret = KEYS
    with moto_server() as server:
        client = boto3.client(
            "s3",
            endpoint_url=server.endpoint,
            region_name="us-east-1",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
        )
        client.create_bucket(Bucket="films")
        files = [Clip(times=range(10), draw=scene).write(tmp_path / "clip.mp4")]
        files += [draw(tmp_path / "stills" / f"{n}.png", 48, 64, seed=n) for n in range(STILLS)]
        for path in files:
            key = f"shop/in/{path.relative_to(tmp_path)}"
            client.put_object(Bucket="films", Key=key, Body=path.read_bytes())
        environment = {
            "AWS_ENDPOINT_URL_S3": server.endpoint,
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
            "FARM_CACHE": str(tmp_path / "cache"),
        }
        yield client, environment


@pytest.fixture
def service(
    tmp_path: Path, bucket: tuple[Any, dict[str, str]], postgres: PostgresServer
) -> Iterator[Service]:
    words = ("--workers", "2", "--root", "films=s3://films/shop")
    folder = tmp_path / "service"
    folder.mkdir()
    service = Service(folder, postgres.new_database(), words, bucket[1])
    service.start()
    try:
        yield service
    finally:
        service.kill()
        service.orphans()


def content_of(client: Any) -> dict[str, bytes]:
    """Return what jobs have written to the bucket."""
    listed = client.list_objects_v2(Bucket="films", Prefix="shop/out/")["Contents"]
    return {
        entry["Key"].removeprefix("shop/out/"): client.get_object(Bucket="films", Key=entry["Key"])[
            "Body"
        ].read()
        for entry in listed
    }


def zipped(service: Service, job: JobHandle) -> dict[str, bytes]:
    answer = httpx.get(f"{service.url}/api/jobs/{job.id}/results.zip", timeout=60, trust_env=False)
    with ZipFile(BytesIO(answer.raise_for_status().content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_film_and_stills_go_from_bucket_to_bucket_and_come_back_as_zips(
    service: Service, bucket: tuple[Any, dict[str, str]], tmp_path: Path
) -> None:
    with service.client() as client:
        film, stills = FILM.submit(client), PICTURES.submit(client)
        succeeded = {
            e.data["unit"] for e in stills.watch(300) if e.data.get("state") == "succeeded"
        }
        assert film.wait(300).is_complete
        assert stills.status.is_complete
        assert {unit["name"] for unit in stills.units()} >= succeeded
        fetched = {p.name: p.read_bytes() for p in stills.fetch(tmp_path / "fetched")}
        written = content_of(bucket[0])
        assert written.keys() == {"film.mp4", *(f"stills/{n}.png" for n in range(STILLS))}
        assert zipped(service, film) == {"film.mp4": written.pop("film.mp4")}
        pictures = {name.removeprefix("stills/"): data for name, data in written.items()}
        assert zipped(service, stills) == fetched == pictures
    source = np.asarray(Image.open(tmp_path / "stills" / "0.png").convert("RGB"), int)
    negative = np.asarray(Image.open(BytesIO(pictures["0.png"])).convert("RGB"), int)
    assert abs(255 - source - negative).max() <= 1
    assert service.stop() == 0
    assert service.orphans() == []
