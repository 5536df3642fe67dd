"""The losses of a run as a table, thinned curves, and warnings, however long the run is."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from farm.engine.training.runs import LOG
from farm.execution.run_report.run_history import TABLE, RunHistory
from farm.execution.run_report.series import POINTS, Series
from farm.execution.run_report.warning_spans import WarningSpans


def log(folder: Path, *lines: dict[str, object], mode: str = "a") -> None:
    with (folder / LOG).open(mode) as file:
        file.writelines(f"{json.dumps(line)}\n" for line in lines)


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def history(tmp_path: Path) -> RunHistory:
    """A history of three steps, of which the last one has a figure of its checkpoint."""
    log(tmp_path, {"step": 1, "real": 0.25, "warning": "no colour"}, {"step": 2, "real": 1 / 3})
    log(tmp_path, {"step": 3, "real": 1e-7, "accuracy": 0.5, "warning": ""})
    history = RunHistory(tmp_path)
    history.follow(3)
    return history


def test_the_table_has_a_row_per_step_and_a_column_per_figure(
    history: RunHistory, tmp_path: Path
) -> None:
    assert table(tmp_path) == [
        {"step": "1", "real": "0.25", "accuracy": ""},
        {"step": "2", "real": repr(1 / 3), "accuracy": ""},
        {"step": "3", "real": "1e-07", "accuracy": "0.5"},
    ]


def test_the_table_is_continued(history: RunHistory, tmp_path: Path) -> None:
    log(tmp_path, {"step": 4, "real": 4.0})
    history.follow(4)
    log(tmp_path, {"step": 5, "real": 5.0})
    history.follow(5)
    assert [row["step"] for row in table(tmp_path)] == list("12345")
    assert history.steps == 5


def test_steps_that_are_in_the_table_are_not_read_again(
    history: RunHistory, tmp_path: Path
) -> None:
    path = tmp_path / LOG
    path.write_bytes(b"?" * (path.stat().st_size - 1) + b"\n")
    log(tmp_path, {"step": 4, "real": 4.0})
    history.follow(4)
    assert [row["step"] for row in table(tmp_path)] == list("1234")


def test_a_new_figure_adds_a_column(history: RunHistory, tmp_path: Path) -> None:
    log(tmp_path, {"step": 4, "real": 4.0, "score": 7.0})
    history.follow(4)
    assert [row["score"] for row in table(tmp_path)] == ["", "", "", "7.0"]
    assert [row["step"] for row in table(tmp_path)] == list("1234")


def test_a_decision_is_no_figure(history: RunHistory, tmp_path: Path) -> None:
    log(tmp_path, {"step": 4, "real": 4.0, "decision": "the loss rose"})
    history.follow(4)
    assert [row["real"] for row in table(tmp_path)][3:] == ["4.0"]
    assert [*table(tmp_path)[0]] == ["step", "real", "accuracy"]


def test_a_run_that_goes_back_loses_the_later_rows(history: RunHistory, tmp_path: Path) -> None:
    log(tmp_path, {"step": 1, "real": 0.25}, mode="w")
    history.follow(1)
    log(tmp_path, {"step": 2, "real": 9.0})
    history.follow(2)
    assert [(row["step"], row["real"]) for row in table(tmp_path)] == [("1", "0.25"), ("2", "9.0")]
    assert history.series["real"].points().values.tolist() == [0.25, 9.0]


@pytest.mark.parametrize("content", [None, b"", b"something else"])
def test_a_table_that_somebody_changed_is_written_anew(
    history: RunHistory, tmp_path: Path, content: bytes | None
) -> None:
    if content is None:
        (tmp_path / TABLE).unlink()
    else:
        (tmp_path / TABLE).write_bytes(content)
    log(tmp_path, {"step": 4, "real": 4.0})
    history.follow(4)
    assert [row["step"] for row in table(tmp_path)] == list("1234")


def test_a_run_without_steps_has_an_empty_table(tmp_path: Path) -> None:
    RunHistory(tmp_path).follow(0)
    assert table(tmp_path) == []


def test_a_line_that_is_not_complete_waits(history: RunHistory, tmp_path: Path) -> None:
    with (tmp_path / LOG).open("a") as file:
        file.write('{"step": 4, "re')
    history.follow(3)
    assert [row["step"] for row in table(tmp_path)] == list("123")


def test_a_warning_lasts_until_the_log_says_otherwise(history: RunHistory) -> None:
    (span,) = history.warnings
    assert (span.text, span.first, span.last, span.count) == ("no colour", 1, 2, 2)


def test_warnings_that_differ_in_numbers_are_one() -> None:
    spans = WarningSpans()
    for step in range(100, 200):
        spans.take(step, f"the deviation is {step / 1000}, below 0.2")
    spans.take(200, "")
    spans.take(300, "the deviation is 0.1, below 0.2")
    (span,) = spans
    assert (span.first, span.last, span.count) == (100, 300, 101)
    assert span.text == "the deviation is 0.1, below 0.2"


def test_the_number_of_warnings_is_bounded() -> None:
    spans = WarningSpans()
    for step in range(1000):
        spans.take(step, f"{'x' * step} is wrong")
    assert [span.last for span in spans] == list(range(980, 1000))


def test_a_series_keeps_few_points_of_the_whole_run() -> None:
    series = Series()
    for step in range(1, 100_001):
        series.add(step, 5.0 if step == 70_000 else step / 100_000)
    points = series.points()
    assert series.count == 100_000
    assert POINTS // 2 <= len(points.steps) <= POINTS
    assert points.steps[0] < 100
    assert points.steps[-1] > 99_900
    assert np.abs(points.values - points.steps / 100_000).max() < 0.05
    assert points.highs.max() == 5.0
    assert points.lows.min() == 1 / 100_000


def test_the_smoothed_line_is_in_the_middle_of_the_noise() -> None:
    series = Series()
    for step in range(500):
        series.add(step, 3 + (-1) ** step)
    assert np.abs(series.points().smoothed() - 3).max() < 0.15


def test_a_value_that_is_not_finite_leaves_a_gap() -> None:
    series = Series()
    for step, value in enumerate([1.0, float("nan"), float("inf"), 2.0]):
        series.add(step, value)
    assert series.points().steps.tolist() == [0, 3]
    assert series.count == 4
