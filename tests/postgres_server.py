"""A real PostgreSQL server for tests: in a folder of its own, on a Unix socket, without fsync.

The server refuses to run as root, so root starts it as another user.
"""

import os
import pwd
import shutil
import subprocess
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final
from urllib.parse import quote

import pytest

HBA: Final = """
local all guarded scram-sha-256
local all all trust
"""
"""Who may connect: the user guarded with a password, everybody else without one."""

SETTINGS: Final = """
listen_addresses = ''
fsync = off
full_page_writes = off
max_connections = 40
"""


class PostgresServer:
    """A server and its databases. folder: of its socket and its data."""

    def __init__(self, folder: Path, user: str | None) -> None:
        self.folder, self._user = folder, user
        self._data = folder / "data"
        self._numbers = count(1)

    def create(self) -> None:
        """Create the files of the server and start it."""
        self._run("initdb", "--username=farm", "--auth=trust", "--no-sync", "--encoding=UTF8")
        (self._data / "pg_hba.conf").write_text(HBA)
        with (self._data / "postgresql.conf").open("a") as settings:
            settings.write(f"{SETTINGS}unix_socket_directories = '{self.folder}'\n")
        self.start()

    def start(self) -> None:
        self._run("pg_ctl", "start", "--wait", f"--log={self.folder / 'log'}")

    def stop(self, mode: str = "immediate") -> None:
        """Stop the server. mode: fast, or immediate, as a crash would end it."""
        self._run("pg_ctl", "stop", "--wait", f"--mode={mode}")

    def restart(self) -> None:
        """Let the server crash and start it again."""
        self.stop()
        self.start()

    def new_database(self) -> str:
        """Create an empty database and return its URL."""
        name = f"farm{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def url(self, database: str, user: str = "farm") -> str:
        return f"postgresql://{user}@/{database}?host={quote(str(self.folder), safe='')}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        """Run a statement as the owner of the server."""
        import psycopg

        address = f"host={self.folder} user=farm dbname={database}"
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute(statement.encode())

    def _run(self, program: str, *options: str) -> None:
        subprocess.run(
            [_program(program), f"--pgdata={self._data}", *options],
            cwd=self.folder,
            user=self._user,
            group=self._user and pwd.getpwnam(self._user).pw_gid,
            extra_groups=self._user and [],
            stdout=subprocess.DEVNULL,
            check=True,
        )


def _program(name: str) -> str:
    """Return the path of a program of PostgreSQL."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"PostgreSQL is not installed: there is no {name}")
    return str(Path(found).resolve())


def server_user() -> str | None:
    """Return the user to run the server as; None for the present one."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server."""
    pytest.importorskip("psycopg")
    user = server_user()
    with TemporaryDirectory(prefix="farm-postgres-") as name:
        if user:
            shutil.chown(name, user)
        server = PostgresServer(Path(name), user)
        server.create()
        yield server
        server.stop()


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    """The URL of an empty database."""
    return postgres.new_database()
