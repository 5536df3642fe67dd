"""An attempt that was taken for dead replaces nothing that a later one has written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from farm.execution.runner import IsCancelled, ReportProgress
from farm.execution.worker import attempt
from farm.model.messages import Figures, Order, Reason, UnitFailed, UnitSucceeded
from farm.storage import input_path, open_whole


class Writer:
    """A runner that writes its own name. meanwhile: happens while it computes."""

    def __init__(self, name: bytes, meanwhile: Callable[[], object] = lambda: None) -> None:
        self._name, self._meanwhile = name, meanwhile

    def run(
        self, order: Order, _report: ReportProgress, _is_cancelled: IsCancelled, _world: None = None
    ) -> Figures:
        self._meanwhile()
        with open_whole(order.unit.target) as file:
            file.write(self._name)
        return Figures()

    def close(self) -> None:
        """Do nothing."""


@pytest.fixture(params=["disk", "url"])
def order(
    request: pytest.FixtureRequest,
    make_order: Callable[..., Order],
    folder_storage: Any,
    tmp_path: Path,
) -> Order:
    root = str(tmp_path) if request.param == "disk" else folder_storage.root
    made = make_order("invert")
    return replace(made, unit=replace(made.unit, target=f"{root}/out.png"))


def run(writer: Writer, order: Order) -> object:
    return attempt(writer, "worker", order, lambda *_: None, lambda: False)


@pytest.mark.parametrize("is_there", [False, True])
def test_a_later_result_stays(order: Order, *, is_there: bool) -> None:
    if is_there:
        assert isinstance(run(Writer(b"before"), order), UnitSucceeded)
    later: list[object] = []
    stale = Writer(b"stale", lambda: later.append(run(Writer(b"later"), order)))
    ended = run(stale, order)
    assert isinstance(ended, UnitFailed)
    assert "another worker has written it" in ended.failure.message
    assert isinstance(later[0], UnitSucceeded)
    assert input_path(order.unit.target).read_bytes() == b"later"
    assert ended.failure.reason is Reason.STORAGE


def test_the_next_attempt_replaces_what_is_there(order: Order) -> None:
    for name in (b"first", b"second"):
        assert isinstance(run(Writer(name), order), UnitSucceeded)
    assert input_path(order.unit.target).read_bytes() == b"second"
