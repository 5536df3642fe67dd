"""What frames have cost is known from small sums, which outlive the jobs and count each frame once."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from farm.ledger import Ledger
from farm.ledger import cost_book as costs_module
from farm.model.costs import Cost, CostKind
from farm.model.events import JobChanged, UnitChanged
from farm.model.job import Job, JobState, Plan
from farm.model.messages import Figures

from .farms import NOW, SPEC, S, at_once, job, ready, unit

FIGURES = Figures({"load": 1.0, "compute": 3.0}, 2000, target_bytes=500, target_pixels=2000)
KIND = CostKind.of(SPEC)


def finished(name: str, job: str = "job", figures: Figures | None = FIGURES) -> UnitChanged:
    return UnitChanged(unit(name, job), S.SUCCEEDED, 1, figures=figures)


@pytest.fixture
def known(ledger: Ledger) -> Ledger:
    """A ledger with a job of two units, of which one is done, on a device."""
    started = replace(job(), device="cpu")
    ledger.add(job(), ready("a", "b"))
    ledger.record([JobChanged(started), finished("a")], NOW)
    return ledger


def test_costs_are_added_up_for_each_kind_and_device(known: Ledger) -> None:
    known.record([finished("b")], NOW + 1)
    assert known.cost(KIND, "cpu") == Cost(2, 8.0, 4000)
    assert known.cost(KIND) == Cost(2, 8.0, 4000)
    assert known.cost(KIND, "gpu") is None
    assert known.bytes_per_pixel("copy", "") is None


def test_only_what_was_rendered_counts(known: Ledger) -> None:
    skipped = finished("b")._replace(state=S.SKIPPED)
    known.record([skipped, finished("b", figures=Figures())], NOW + 1)
    assert known.cost(KIND) == Cost(1, 4.0, 2000)


def test_other_settings_stand_in_for_those_that_are_not_known(known: Ledger) -> None:
    other = CostKind.of(SPEC.model_copy(update={"params": {"amount": 2}}))
    assert known.cost(other) == Cost(1, 4.0, 2000, is_exact=False)
    assert known.cost(replace(KIND, network="vgg19")) is None


@pytest.mark.parametrize(
    "changes", [{"plan": Plan(seed=7)}, {"priority": 90, "owner": "me"}, {"output": "elsewhere/"}]
)
def test_what_has_no_effect_on_the_seconds_is_in_no_kind(changes: dict[str, object]) -> None:
    assert CostKind.of(SPEC.model_copy(update=changes)) == KIND


@pytest.mark.parametrize(
    "changes", [{"params": {"amount": 2}}, {"plan": Plan(tile=64)}, {"workers": 2}]
)
def test_what_the_seconds_depend_on_makes_another_kind(changes: dict[str, object]) -> None:
    assert CostKind.of(SPEC.model_copy(update=changes)) != KIND


@pytest.mark.parametrize(
    ("small", "large", "per_unit"),
    [
        ((1.5, 1000), (8.5, 8000), 0.5),  # 0.5 s, and 1 s for 1000 pixels
        ((1.0, 1000), (8.0, 8000), 0.0),
        ((1.0, 1000), (9.0, 8000), 0.0),
        ((3.0, 1000), (2.0, 8000), 2.5),
        ((1.0, 1000), (1.1, 1500), 0.0),  # too near to tell
    ],
)
def test_what_a_frame_costs_whatever_its_size_is_told_from_two_sizes(
    ledger: Ledger, small: tuple[float, int], large: tuple[float, int], per_unit: float
) -> None:
    ledger.add(job(), ready("a", "b"))
    for name, (seconds, pixels) in (("a", small), ("b", large)):
        ledger.record([finished(name, figures=Figures({"compute": seconds}, pixels))], NOW)
    known = ledger.cost(KIND)
    assert known is not None
    assert known.per_unit == pytest.approx(per_unit)
    assert (known.units, known.is_exact) == (2, True)


def test_costs_outlive_the_job(known: Ledger) -> None:
    ended = replace(job(), state=JobState.COMPLETED)
    known.record([finished("b"), JobChanged(ended)], NOW + 1)
    known.forget(NOW + 2)
    assert known.jobs() == []
    assert known.cost(KIND) == Cost(2, 8.0, 4000)


def test_sizes_are_known_by_task_and_format(ledger: Ledger) -> None:
    ledger.add(job(), ready("a.png", "b.jpg"))
    ledger.record([finished("a.png"), finished("b.jpg")], NOW)
    assert ledger.bytes_per_pixel("copy", "png") == 0.25
    assert ledger.bytes_per_pixel("copy", "tif") is None
    assert ledger.bytes_per_pixel("other", "png") is None


def test_older_frames_count_less(known: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs_module, "RECENT", 1)
    slow = replace(FIGURES, seconds={"compute": 10.0})
    known.record([finished("b", figures=slow)], NOW + 1)
    assert known.cost(KIND) == Cost(1.5, 12.0, 3000)


def test_the_rows_used_longest_ago_make_room(
    known: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(costs_module, "KEPT", 1)
    later = Job("later", SPEC.model_copy(update={"task": "other"}), NOW)
    known.add(later, ready("a", job="later"))
    known.record([finished("a", "later")], NOW + 1)
    known.forget(NOW)
    assert known.cost(KIND) is None
    assert known.cost(CostKind.of(later.spec)) == Cost(1, 4.0, 2000)


def test_two_farms_add_to_one_sum(open_ledger: Callable[[], Ledger]) -> None:
    farms = [open_ledger(), open_ledger()]
    names = [str(number) for number in range(20)]

    def work(number: int) -> None:
        farm, name = farms[number], f"job{number}"
        farm.add(job(name), ready(*names, job=name))
        for one in names:
            farm.record([finished(one, name)], NOW)

    at_once(lambda: work(0), lambda: work(1))
    assert farms[0].cost(KIND) == Cost(40, 160.0, 80_000)
