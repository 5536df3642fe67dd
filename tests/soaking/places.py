"""Where the soak's jobs keep files and ledgers apart from the disk: real servers, if there are any."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psutil
from postgres_server import PostgresServer, server_user
from servers import KEYS, ceph_server, has_ceph

BUCKET: Final = "soak"
START_SECONDS: Final = 60


@dataclass
class Place:
    """A folder in the bucket, for one job."""

    client: Any
    prefix: str

    def url(self, name: str) -> str:
        return f"s3://{BUCKET}/{self.prefix}/{name}"

    def put(self, path: Path, name: str) -> None:
        self.client.put_object(
            Bucket=BUCKET, Key=f"{self.prefix}/{name}", Body=path.read_bytes(), Metadata={}
        )

    def digests(self, folder: str) -> dict[str, str]:
        """Return the SHA-256 of every object below a folder, hidden ones included."""
        found = {}
        for key in self._keys(f"{self.prefix}/{folder}/"):
            body = self.client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
            found[key.removeprefix(f"{self.prefix}/{folder}/")] = sha256(body).hexdigest()
        return found

    def left_behind(self) -> Iterator[str]:
        """Yield hidden objects, and uploads that nobody completes any more."""
        for key in self._keys(f"{self.prefix}/"):
            if any(part.startswith(".") for part in key.split("/")):
                yield key
        uploads = self.client.list_multipart_uploads(Bucket=BUCKET, Prefix=f"{self.prefix}/")
        yield from (f"upload of {each['Key']}" for each in uploads.get("Uploads", ()))

    def _keys(self, prefix: str) -> Iterator[str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix)
        for page in pages:
            yield from (entry["Key"] for entry in page.get("Contents", ()))


@dataclass
class Servers:
    """An S3 server and a PostgreSQL server. storage: its processes, which trouble may stop.

    postgres: None if it is not installed.
    """

    endpoint: str
    client: Any
    storage: list[psutil.Process] = field(default_factory=list)
    postgres: PostgresServer | None = None

    @property
    def environment(self) -> dict[str, str]:
        """What commands need to reach the bucket."""
        access, secret = KEYS
        return {
            "AWS_ENDPOINT_URL_S3": self.endpoint,
            "AWS_ACCESS_KEY_ID": access,
            "AWS_SECRET_ACCESS_KEY": secret,
        }

    def stop_storage(self, seconds: float) -> None:
        """Let the S3 server answer nothing for some seconds."""
        try:
            for process in self.storage:
                process.send_signal(signal.SIGSTOP)
            time.sleep(seconds)
        finally:
            for process in self.storage:
                process.send_signal(signal.SIGCONT)


@contextmanager
def servers() -> Iterator[Servers]:
    """Run the servers: Ceph if it is installed, else moto; and PostgreSQL if it is installed."""
    import boto3

    with ExitStack() as stack:
        endpoint, processes = _start_storage(stack)
        access, secret = KEYS
        client = boto3.client(
            "s3",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id=access,
            aws_secret_access_key=secret,
        )
        client.create_bucket(Bucket=BUCKET)
        yield Servers(endpoint, client, processes, start_postgres(stack))


def _start_storage(stack: ExitStack) -> tuple[str, list[psutil.Process]]:
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="soak-s3-", dir="/tmp")))
    if has_ceph():
        endpoint = stack.enter_context(ceph_server(folder)).endpoint
        pids = [int(path.read_text()) for path in folder.glob("client*.pid")]
        return endpoint, [psutil.Process(pid) for pid in pids]
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command, stdout=quiet, stderr=quiet, env=os.environ)
    stack.callback(process.wait)
    stack.callback(process.kill)
    _wait_for(port)
    return f"http://127.0.0.1:{port}", [psutil.Process(process.pid)]


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
    raise TimeoutError(f"nothing listens on port {port}")


def start_postgres(stack: ExitStack) -> PostgresServer | None:
    """Start a PostgreSQL server, if it is installed; it stops when the stack is left."""
    if not shutil.which("initdb"):
        return None
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="soak-postgres-", dir="/tmp")))
    user = server_user()
    if user:
        shutil.chown(folder, user)
    server = PostgresServer(folder, user)
    server.create()
    stack.callback(server.stop)
    return server
