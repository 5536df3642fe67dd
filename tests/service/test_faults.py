"""A fault of the service itself is told to who asked, without details, and to its log with all of them."""

import sqlite3
from contextlib import closing
from threading import Event

import pytest

from farm.client import Client
from farm.errors import ServerFailed

from .conftest import Served


@pytest.fixture
def broken(served: Served) -> Served:
    """A service with a job in its ledger that it cannot read."""
    served.finished()
    with closing(sqlite3.connect(served.folder / "ledger.db")) as ledger, ledger:
        ledger.execute('UPDATE specs SET spec = \'{"no": "spec"}\'')
    return served


def test_a_fault_of_the_service_is_answered_in_json_and_logged(
    broken: Served, caplog: pytest.LogCaptureFixture
) -> None:
    answer = broken.client.get("/api/jobs")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal")
    assert "JobSpec" not in answer.text
    assert logged(caplog, "JobSpec")


def logged(caplog: pytest.LogCaptureFixture, text: str) -> bool:
    """Return whether a text is logged, which happens after the answer."""
    for _ in range(500):
        if text in caplog.text:
            return True
        Event().wait(0.02)
    return False


def test_a_client_says_that_the_farm_answers_with_an_error_and_where_to_look(
    broken: Served,
) -> None:
    with Client(f"http://127.0.0.1:{broken.port}") as client, pytest.raises(ServerFailed) as failed:
        list(client.jobs())
    assert failed.value.status == 500
    assert "answers with an error, status 500" in str(failed.value)
    assert "its log, what `farm serve` prints" in str(failed.value)
    assert "no farm answers" not in str(failed.value)
