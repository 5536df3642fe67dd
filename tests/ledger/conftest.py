"""Every test of the ledger runs on SQLite and on a real PostgreSQL server."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from farm.ledger import Ledger

from ..postgres_server import (  # noqa: TID252 - shared between rooms
    PostgresServer,
    postgres,
    postgres_url,
)
from ..workbench import ledger, pictures, spec  # noqa: TID252 - shared between rooms

__all__ = ["PostgresServer", "ledger", "pictures", "postgres", "postgres_url", "spec"]


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'ledger.db'}"


@pytest.fixture(params=["sqlite", "postgres"])
def ledger_url(request: pytest.FixtureRequest) -> str:
    """The address of a ledger that is not there yet."""
    return str(request.getfixturevalue(f"{request.param}_url"))


@pytest.fixture
def open_ledger(ledger_url: str) -> Iterator[Callable[[], Ledger]]:
    """Open the same ledger as another farm."""
    with ExitStack() as stack:

        def open_ledger() -> Ledger:
            return stack.enter_context(closing(Ledger.open(ledger_url)))

        yield open_ledger
