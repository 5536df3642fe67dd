"""Jobs whose files are in a bucket write the same bytes as those whose files are on a disk."""

import os
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest

from ..servers import KEYS, Server, moto_server  # noqa: TID252 - shared between rooms
from .conftest import QUICK, Command, Done, draw, events_of, frames

pytestmark = pytest.mark.slow

WEIGHTS = (
    Path(__file__).parents[2] / "plugins" / "farm_networks" / "starter" / "starter.safetensors"
)
DCGAN = ("--width", "0.02", "--batch", "4", "--every", "6", "--threads", "1")


@dataclass(frozen=True)
class Bucket:
    """A bucket, and the command that works on it."""

    client: Any
    command: Command

    def put(self, path: Path) -> str:
        """Store a file under its name in the command's folder; return its URL."""
        key = str(path.relative_to(self.command.folder))
        self.client.put_object(Bucket="films", Key=key, Body=path.read_bytes())
        return f"s3://films/{key}"

    def get(self, key: str) -> bytes:
        content: bytes = self.client.get_object(Bucket="films", Key=key)["Body"].read()
        return content

    def names(self, prefix: str = "") -> list[str]:
        found = self.client.list_objects_v2(Bucket="films", Prefix=prefix)
        return [entry["Key"] for entry in found.get("Contents", ())]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with moto_server() as running:
        yield running


@pytest.fixture
def bucket(server: Server, command: Command, tmp_path: Path) -> Iterator[Bucket]:
    command.environment |= {
        "AWS_ENDPOINT_URL_S3": server.endpoint,
        "AWS_ACCESS_KEY_ID": KEYS[0],
        "AWS_SECRET_ACCESS_KEY": KEYS[1],
        "FARM_CACHE": str(tmp_path / "cache"),
    }
    client = boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=KEYS[0],
        aws_secret_access_key=KEYS[1],
        region_name="us-east-1",
    )
    client.create_bucket(Bucket="films")
    made = Bucket(client, command)
    yield made
    for key in made.names():
        client.delete_object(Bucket="films", Key=key)


def succeeded(done: Done) -> Done:
    assert done.returncode == 0, done.stderr
    return done


def test_stills_with_a_guide_and_weights_from_the_bucket(bucket: Bucket) -> None:
    command, folder = bucket.command, bucket.command.folder
    for number in range(3):
        bucket.put(draw(folder / "in" / f"p{number}.png", seed=number))
    guide = bucket.put(draw(folder / "guide.png", seed=9))
    weights = bucket.put(Path(shutil.copy(WEIGHTS, folder / "other.safetensors")))
    words = ("dream", *QUICK, "--guide")
    succeeded(
        command.run(*words, "guide.png", "--weights", "other.safetensors", "in", "-o", "out/")
    )
    given = (*words, guide, "--weights", weights, "s3://films/in/p?.png", "-o", "s3://films/out/")
    succeeded(command.run(*given))
    here = {f"out/{path.name}": path.read_bytes() for path in (folder / "out").iterdir()}
    assert {key: bucket.get(key) for key in bucket.names("out/")} == here
    again = events_of(succeeded(command.run(*given, "--resume", "--json")))
    assert frames(again, "skipped") == ["p0", "p1", "p2"]
    shown = succeeded(command.run("show", "s3://films/out/p1.png")).stdout.splitlines()
    local = succeeded(command.run("show", "out/p1.png")).stdout.splitlines()
    assert shown == [line for line in local if not line.startswith("written")]


def test_a_coherent_film_that_was_killed_is_the_same_and_leaves_nothing_else(
    bucket: Bucket, tmp_path: Path
) -> None:
    command, folder = bucket.command, bucket.command.folder
    for number in range(14):
        bucket.put(draw(folder / "in" / f"f{number:02}.png", seed=number // 7))
    words = ("dream", "--coherence", "flow", *QUICK)
    succeeded(command.run(*words, "in/f%02d.png", "-o", "out.mkv"))
    given = (*words, "s3://films/in/f%02d.png", "-o", "s3://films/out.mkv")
    with command.start(*given) as job:
        for _ in range(4):
            job.until(lambda event: event.get("state") == "succeeded")
        job.process.kill()
        assert job.wait().returncode == -signal.SIGKILL
    assert bucket.names(".out.mkv.farm/")
    shutil.rmtree(tmp_path / "cache")  # as on another machine
    resumed = events_of(succeeded(command.run(*given, "--resume", "--json")))
    assert len(frames(resumed, "skipped")) >= 4
    assert bucket.get("out.mkv") == (folder / "out.mkv").read_bytes()
    assert [key for key in bucket.names() if not key.startswith("in/")] == ["out.mkv"]


def test_a_run_that_was_stopped_and_killed_is_the_same(bucket: Bucket, tmp_path: Path) -> None:
    command, folder = bucket.command, bucket.command.folder
    for number in range(4):
        bucket.put(draw(folder / "in" / f"{number}.png", seed=number))
    words = ("dcgan", *DCGAN, "--steps", "24")
    succeeded(command.run(*words, "in", "-o", "run/"))
    given = (*words, "s3://films/in/", "-o", "s3://films/run")
    for resume, end in (((), signal.SIGINT), (("--resume",), signal.SIGKILL)):
        with command.start(*given, *resume) as job:
            job.until(lambda event: event["event"] == "progress" and event["done"] > 0.1)
            job.until(lambda event: event["event"] == "progress")
            os.kill(job.process.pid, end)
            job.wait()
        shutil.rmtree(tmp_path / "cache")  # as on another machine
    assert "run/generator.safetensors" not in bucket.names()
    succeeded(command.run(*given, "--resume"))
    for name in ("generator.safetensors", "run.json", "checkpoints/step-00000024.safetensors"):
        assert bucket.get(f"run/{name}") == (folder / "run" / name).read_bytes(), name
    steps = [line.partition(b",")[0] for line in bucket.get("run/log.jsonl").splitlines()]
    assert steps == [b'{"step": %d' % step for step in range(1, 25)]
    assert not [key for key in bucket.names() if key.endswith((".claim", ".part"))]
    for run in ("s3://films/run", "run"):
        succeeded(command.run("sample", f"{run}@18", "-o", f"{run}.png", "--count", "4"))
    assert bucket.get("run.png") == (folder / "run.png").read_bytes()
    remote, local = (
        succeeded(command.run("show", run)).stdout for run in ("s3://films/run", "run")
    )
    assert "steps\t24 of 24, finished\n" in remote
    assert remote == local


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("s3://films/gone.png", "-o", "x.png"), "s3://films/gone.png: no such file or folder"),
        (("blank:64x64", "-o", "s3://nobody/x.png"), "cannot write s3://nobody/x.png: there is no"),
        (
            ("blank:64x64", "-o", "x.png", "--guide", "s3://films/gone.png"),
            "--guide: no such file: s3://films/gone.png; check the name",
        ),
    ],
)
def test_what_cannot_be_read_or_written_is_said_in_one_line_before_any_work(
    bucket: Bucket, words: tuple[str, ...], reason: str
) -> None:
    done = bucket.command.run("dream", *words, *QUICK)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert reason in line
    assert bucket.names() == []


def test_missing_keys_are_said_in_one_line(bucket: Bucket) -> None:
    no_keys = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": "", "AWS_CONFIG_FILE": "/none"}
    no_keys |= {"AWS_SHARED_CREDENTIALS_FILE": "/none", "AWS_EC2_METADATA_DISABLED": "true"}
    done = bucket.command.run("dream", "s3://films/a.png", "-o", "x.png", *QUICK, **no_keys)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert "keys" in line
