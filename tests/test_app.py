"""The composition root opens everything or nothing, and closes what it opened."""

import socket
from pathlib import Path

import pytest

from farm.app import open_farm
from farm.errors import UserError
from farm.host.executor import Executor
from farm.host.registry import Registry

from .fakes import FakeExecutor


class ClosingExecutor(FakeExecutor):
    """An executor that remembers whether it was closed."""

    is_closed = False

    def close(self) -> None:
        super().close()
        self.is_closed = True


@pytest.fixture(autouse=True)
def own_ledger(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FARM_LEDGER", str(tmp_path / "ledger.db"))


def test_the_executor_is_closed_with_the_farm_whatever_happens_in_it() -> None:
    executor = ClosingExecutor()
    with pytest.raises(ZeroDivisionError):
        fail_in_farm(executor)
    assert executor.is_closed


def fail_in_farm(executor: ClosingExecutor) -> None:
    with open_farm(Registry(), lambda: executor):
        assert not executor.is_closed
        raise ZeroDivisionError


def never() -> Executor:
    raise AssertionError("the executor is created last")


def test_a_taken_metrics_port_is_refused_before_an_executor_exists() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with (
            pytest.raises(UserError, match=f"cannot serve metrics on port {port}"),
            open_farm(Registry(), never, metrics_port=port),
        ):
            pass


def test_a_ledger_that_cannot_be_opened_is_refused_before_an_executor_exists(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("FARM_LEDGER", str(tmp_path / "file" / "ledger.db"))
    with pytest.raises(UserError, match="cannot open the ledger"), open_farm(Registry(), never):
        pass
