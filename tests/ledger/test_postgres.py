"""A ledger on a PostgreSQL server: refusals in one line, trouble that passes, and a server that restarts."""

import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from socket import AF_UNIX, SHUT_RDWR, socket
from threading import Thread
from time import monotonic

import psycopg
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.exc import DataError, OperationalError

from farm.errors import FarmBug, LedgerUnavailable, UserError
from farm.ledger import Ledger
from farm.ledger.trouble import failure, passing_trouble
from farm.model.costs import Cost, CostKind
from farm.model.events import UnitChanged
from farm.model.messages import Failure, Figures, Reason

from ..postgres_server import PostgresServer  # noqa: TID252 - shared between rooms
from .farms import NOW, SPEC, S, assert_counts_are_right, done, job, ready, running, unit

PATIENCE = 60.0
"""Seconds after which a test no longer waits for a server."""


@pytest.fixture
def ledger_url(postgres_url: str) -> str:
    return postgres_url


def database_of(url: str) -> str:
    return str(make_url(url).database)


def refusal(url: str) -> str:
    with pytest.raises(UserError, match="cannot open the ledger") as caught:
        Ledger.open(url)
    message = str(caught.value)
    assert "\n" not in message
    assert "hunter2" not in message
    return message


def test_a_wrong_password_is_refused_without_it(postgres: PostgresServer) -> None:
    postgres.execute("CREATE ROLE guarded LOGIN PASSWORD 'secret'")
    message = refusal(postgres.url("postgres", "guarded:hunter2"))
    assert 'password authentication failed for user "guarded"' in message
    assert "set FARM_LEDGER to another database" in message


def test_a_database_that_is_not_there_is_refused(postgres: PostgresServer) -> None:
    assert 'database "nowhere" does not exist' in refusal(postgres.url("nowhere"))


def test_a_server_that_is_not_there_is_refused(tmp_path: Path) -> None:
    message = refusal(f"postgresql://farm:hunter2@/farm?host={tmp_path}")
    assert "failed: No such file or directory; set FARM_LEDGER to another database" in message


def test_a_database_of_another_program_is_refused(
    postgres: PostgresServer, postgres_url: str
) -> None:
    postgres.execute("CREATE TABLE bookmarks (url TEXT)", database_of(postgres_url))
    assert "the database is not a ledger; it contains bookmarks;" in refusal(postgres_url)


def test_a_user_who_may_not_create_tables_is_refused(
    postgres: PostgresServer, postgres_url: str
) -> None:
    postgres.execute("CREATE ROLE guest LOGIN")
    message = refusal(postgres_url.replace("farm@", "guest@"))
    assert "permission denied for schema public" in message


WITHOUT_DRIVER = """
import sys
sys.modules["psycopg"] = None
from farm.ledger import Ledger

Ledger.open("postgresql://farm:hunter2@db.example/farm")
"""


@pytest.mark.slow
def test_without_the_driver_one_line_says_what_to_install() -> None:
    command = [sys.executable, "-c", WITHOUT_DRIVER]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.stderr.splitlines()[-1] == (
        "farm.errors.UserError: cannot open the ledger postgresql://farm:***@db.example/farm: "
        "psycopg is not installed; run pip install 'neural-render-farm[postgres]'; "
        "set FARM_LEDGER to another database"
    )


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_the_scheme_is_understood(postgres_url: str, scheme: str) -> None:
    url = postgres_url.replace("postgresql", scheme)
    with closing(Ledger.open(url)) as ledger:
        assert "postgresql+psycopg://" in ledger.address
        ledger.add(job(), ready("a"))


# Trouble that passes


@pytest.fixture
def farm(ledger: Ledger) -> Ledger:
    ledger.beat(NOW)
    ledger.add(job(), ready("a", "b"))
    return ledger


def insist(call: Callable[[], object]) -> int:
    """Call until the ledger is available; return how often it was not."""
    deadline = monotonic() + PATIENCE
    failures = 0
    while True:
        try:
            call()
        except LedgerUnavailable:
            failures += 1
            assert monotonic() < deadline
        else:
            return failures


def test_a_ledger_that_is_locked_says_so_within_seconds(farm: Ledger, postgres_url: str) -> None:
    with closing(Ledger.open(postgres_url)) as other, other._engine.begin() as connection:
        connection.execute(text("LOCK TABLE units IN ACCESS EXCLUSIVE MODE"))
        began = monotonic()
        with pytest.raises(LedgerUnavailable, match="is locked by another program"):
            farm.record([running("a")], NOW)
        assert monotonic() - began < PATIENCE
    farm.record([running("a")], NOW)
    assert [record.state for record in farm.units("job")] == [S.RUNNING, S.READY]


def test_a_server_that_takes_no_writes_is_unavailable(
    farm: Ledger, postgres: PostgresServer, postgres_url: str
) -> None:
    database = database_of(postgres_url)
    setting = f"ALTER DATABASE {database} SET default_transaction_read_only"
    postgres.execute(f"{setting} = on")
    farm.close()
    with pytest.raises(LedgerUnavailable, match="cannot be written because the server is a stand"):
        farm.record([running("a")], NOW)
    postgres.execute(f"{setting} = off")
    farm.close()
    farm.record([running("a")], NOW)


def test_a_server_that_accepts_no_connections_is_unavailable(
    farm: Ledger, postgres: PostgresServer, postgres_url: str
) -> None:
    database = database_of(postgres_url)
    farm.close()
    postgres.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
    with pytest.raises(LedgerUnavailable, match=r"does not answer .*not currently accepting"):
        farm.record([running("a")], NOW)
    postgres.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
    farm.record([running("a")], NOW)


def test_a_server_that_is_gone_is_unavailable_until_it_is_back(
    farm: Ledger, postgres: PostgresServer
) -> None:
    postgres.stop()
    with pytest.raises(LedgerUnavailable):
        farm.record([running("a")], NOW)
    with pytest.raises(LedgerUnavailable):
        farm.jobs()
    postgres.start()
    farm.record([running("a")], NOW)
    assert len(farm.story("job")) == 1


CODES = {
    "57P01": "is shutting down or starting",
    "57P03": "is shutting down or starting",
    "57014": "takes too long to answer",
    "40001": "is in use by another program at the same place",
    "40P01": "is in use by another program at the same place",
    "53100": "cannot be written because its disk is full",
    "53300": "takes no more connections",
    "08006": "has lost its connection",
    "58030": "cannot be read or written because its disk reports an error",
}


@pytest.mark.parametrize("code", CODES)
def test_trouble_of_the_server_passes(code: str) -> None:
    error = OperationalError("INSERT", {}, psycopg.errors.lookup(code)("what it says"))
    assert passing_trouble(error) == f"{CODES[code]} (what it says)"


@pytest.mark.parametrize("code", ["42P01", "42501", "23505", "22021", "XX001"])
def test_what_does_not_pass_is_not_tried_again(code: str) -> None:
    error = OperationalError("INSERT", {}, psycopg.errors.lookup(code)("what it says"))
    assert passing_trouble(error) is None


def test_a_damaged_ledger_is_called_damaged_and_a_refused_row_a_bug() -> None:
    damaged = OperationalError("SELECT", {}, psycopg.errors.lookup("XX001")("invalid page"))
    assert str(failure("db", damaged)) == (
        "the ledger db is damaged: invalid page; restore it from a copy"
    )
    refused = DataError("INSERT", {}, psycopg.errors.lookup("22001")("too long"))
    assert isinstance(failure("db", refused), FarmBug)


# Nothing is lost or stored twice


@pytest.mark.slow
def test_a_server_that_restarts_under_load_loses_nothing_and_stores_nothing_twice(
    ledger: Ledger, postgres: PostgresServer
) -> None:
    names = [f"u{number}" for number in range(1500)]
    ledger.beat(NOW)
    ledger.add(job(), ready(*names))
    failures: list[int] = []
    half = threading.Event()

    def work() -> None:
        for number, name in enumerate(names):
            failed = Failure(Reason.BUG, "it broke", traceback=f"Traceback {name}")
            retry = UnitChanged(unit(name), S.RETRY_WAIT, 1, failure=failed)
            steps = [running(name), retry], [done(name)]
            failures.extend(insist(partial(ledger.record, step, NOW)) for step in steps)
            if number == 50:
                half.set()

    worker = Thread(target=work)
    worker.start()
    half.wait()
    for mode in ("immediate", "fast", "immediate"):
        postgres.stop(mode)
        postgres.start()
    worker.join()
    assert sum(failures) > 0
    records = ledger.units("job")
    assert {(record.state, len(record.failures)) for record in records} == {(S.SUCCEEDED, 1)}
    assert len(ledger.story("job", limit=10_000)) == 3 * len(names)
    assert_counts_are_right(ledger)


class Relay:
    """Passes bytes between a client and a server. loses: cut the connection in place of this answer."""

    def __init__(self, folder: Path, server: Path) -> None:
        self.loses, self.lost = b"", 0
        self._server = server
        self._listener = socket(AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket(AF_UNIX)
            server.connect(str(self._server / ".s.PGSQL.5432"))
            Thread(target=self._pass, args=(client, server), daemon=True).start()
            Thread(target=self._pass, args=(server, client), daemon=True).start()

    def _pass(self, source: socket, target: socket) -> None:
        with suppress(OSError):  # the other direction may have ended the connection
            while some := source.recv(65536):
                if self.loses and self.loses in some:
                    self.loses, self.lost = b"", self.lost + 1
                    break
                target.sendall(some)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(SHUT_RDWR)
        source.close()


@pytest.fixture
def relay(tmp_path: Path, postgres: PostgresServer) -> Iterator[Relay]:
    relay = Relay(tmp_path, postgres.folder)
    yield relay
    relay.close()


@pytest.fixture
def far(relay: Relay, tmp_path: Path, postgres_url: str) -> Iterator[Ledger]:
    """A ledger behind a connection that can be cut."""
    ledger = Ledger.open(f"postgresql://farm@/{database_of(postgres_url)}?host={tmp_path}")
    ledger.beat(NOW)
    yield ledger
    ledger.close()


@contextmanager
def lost(relay: Relay, answer: bytes) -> Iterator[None]:
    """Lose an answer of the server, and expect the ledger to be unavailable."""
    relay.loses = answer
    with pytest.raises(LedgerUnavailable):
        yield
    assert relay.lost > 0


COMMITTED = b"C\0\0\0\x0bCOMMIT\0"
"""A server's answer to a commit that was done."""


def test_a_record_whose_answer_is_lost_is_not_stored_twice(far: Ledger, relay: Relay) -> None:
    far.add(job(), ready("a", "b"))
    failed = Failure(Reason.BUG, "it broke")
    changes = [running("a"), UnitChanged(unit("a"), S.RETRY_WAIT, 1, failure=failed)]
    with lost(relay, COMMITTED):
        far.record(changes, NOW)
    far.record([*changes, running("b")], NOW)
    assert [line.state for line in far.story("job")] == [S.RUNNING, S.RETRY_WAIT, S.RUNNING]
    assert [len(record.failures) for record in far.units("job")] == [1, 0]
    far.record([done("a"), done("b")], NOW)
    assert_counts_are_right(far)


def test_a_cost_whose_answer_is_lost_counts_once(far: Ledger, relay: Relay) -> None:
    far.add(job(), ready("a", "b"))
    cost = Figures({"compute": 1.0}, pixels=100)
    changes = [UnitChanged(unit("a"), S.SUCCEEDED, 1, figures=cost)]
    with lost(relay, COMMITTED):
        far.record(changes, NOW)
    far.record([*changes, running("b")], NOW)
    assert far.cost(CostKind.of(SPEC)) == Cost(1, 1.0, 100)


def test_answers_may_be_lost_several_times_in_a_row(far: Ledger, relay: Relay) -> None:
    far.add(job(), ready("a", "b"))
    changes = [running("a")]
    with lost(relay, COMMITTED):
        far.record(changes, NOW)
    with lost(relay, b"UPDATE 1"):
        far.record([*changes, running("b")], NOW)
    with lost(relay, COMMITTED):
        far.record([*changes, running("b")], NOW)
    far.record([*changes, running("b"), done("a")], NOW)
    assert [line.unit for line in far.story("job")] == ["a", "b", "a"]
    assert_counts_are_right(far)


def test_a_job_whose_answer_is_lost_is_added_once(far: Ledger, relay: Relay) -> None:
    with lost(relay, COMMITTED):
        far.add(job(), ready("a"))
    far.add(job(), ready("a"))
    far.record([done("a")], NOW)
    with lost(relay, COMMITTED):
        far.replace(job(), job("next", NOW + 1), ready("a", job="next"), NOW)
    far.replace(job(), job("next", NOW + 1), ready("a", job="next"), NOW)
    far.record([done("a", "next")], NOW)
    assert_counts_are_right(far)
