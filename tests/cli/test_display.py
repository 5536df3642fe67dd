"""The displays say why nothing happens, and how far a frame is that takes long."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from farm.cli.display import QUIET_SECONDS, BarDisplay, Display, JsonDisplay, LineDisplay
from farm.cli.tally import Tally
from farm.model.events import (
    JobChanged,
    News,
    Progressed,
    ReadProgress,
    UnitChanged,
    WorkerChanged,
)
from farm.model.job import Job, JobSpec, JobState
from farm.model.messages import TrainingFigures, UnitProgress
from farm.model.unit import Unit, UnitState

UNIT = Unit("job", "train", "", "run/generator.safetensors")


def progressed(done: float, note: str) -> Progressed:
    return Progressed(UNIT, UnitProgress("local-1", "token", done, note))


def test_progress_is_printed_after_a_while_without_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    display = LineDisplay(Tally(), lambda: now)
    for seconds, note in ((QUIET_SECONDS - 1, "early"), (QUIET_SECONDS, "step 3"), (1, "again")):
        now += seconds
        display.on_event(progressed(0.25, note))
    assert capsys.readouterr().err == "train 25%  step 3\n"


def warned(step: int, warning: str) -> Progressed:
    figures = TrainingFigures(step, 8 * step, {"loss": 1.0}, warning=warning)
    return Progressed(UNIT, UnitProgress("local-1", "token", 0.1, "note", training=figures))


def test_a_warning_of_a_run_is_shown_at_once_and_not_for_each_of_its_numbers(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for display in (LineDisplay(Tally()), BarDisplay(Tally())):
        for step, warning in enumerate(("", "skipped: 1", "skipped: 2", "", "skipped: 2", "grey")):
            display.on_event(warned(step, warning))
        display.close()
        shown = " ".join(capsys.readouterr().err.split())
        assert shown.count("train: warning: skipped: 1") == 1
        assert shown.count("train: warning: skipped: 2") == 1
        assert shown.count("train: warning: grey") == 1


@pytest.mark.parametrize("make", [LineDisplay, BarDisplay])
def test_what_many_frames_are_retried_for_is_said_once(
    capsys: pytest.CaptureFixture[str], make: Callable[[Tally], Display]
) -> None:
    display = make(Tally())
    for name, reason in (("a", "no colour"), ("b", "no colour"), ("c", "no picture")):
        frame = Unit("job", name, f"{name}.png", f"out/{name}.png")
        display.on_event(UnitChanged(frame, UnitState.RETRY_WAIT, 1, reason))
    display.close()
    shown = " ".join(capsys.readouterr().err.split())
    assert shown.count("a will be retried: no colour") == 1
    assert shown.count("no colour") == 1
    assert "c will be retried: no picture" in shown


FULL = "out/a: the disk is full; free some space; the job tries again in 30 s"
JOB = Job("job", JobSpec(task="copy", inputs=("in",), output="out/"), 0.0)
PAUSED = JobChanged(replace(JOB, state=JobState.PAUSED, reason=FULL))
REFUSED = WorkerChanged("ray-1", "cpu", "refused", "it has torch 2.1")


@pytest.mark.parametrize(
    ("event", "line"),
    [(PAUSED, f"paused: {FULL}"), (REFUSED, "worker ray-1 was refused: it has torch 2.1")],
)
def test_the_reason_of_a_pause_and_of_a_refusal_is_shown(
    capsys: pytest.CaptureFixture[str], event: News, line: str
) -> None:
    bars = BarDisplay(Tally())
    for display in (LineDisplay(Tally()), bars):
        display.on_event(event)
        display.close()
        assert line in " ".join(capsys.readouterr().err.split())
    JsonDisplay().on_event(event)
    assert event_reason(event) in capsys.readouterr().out


def event_reason(event: News) -> str:
    assert isinstance(event, JobChanged | WorkerChanged)
    return event.job.reason if isinstance(event, JobChanged) else event.reason


NOTE = "step 3: style 0.25, content 1; 2.1 steps/s, 1:02:10 left; warning: no colour"
FIGURES = TrainingFigures(3, 12, {"style": 0.25, "content": 1.0}, 0.002, {"compute": 0.5}, 3)
TRAINED = Progressed(UNIT, UnitProgress("local-1", "token", 0.25, NOTE, training=FIGURES))


def test_each_part_of_a_runs_note_has_a_line_that_fits_a_narrow_terminal() -> None:
    bars = BarDisplay(tally := Tally(total=1), is_run=True)
    tally.on_event(TRAINED)
    bars.on_event(TRAINED)
    console = Console(width=80, file=StringIO())
    console.print(bars._drawn())
    bars.close()
    assert isinstance(console.file, StringIO)
    first, *lines = console.file.getvalue().splitlines()
    assert first.startswith("train ")
    assert first.endswith("25%")
    assert lines == NOTE.split("; ")


def test_a_run_is_said_to_be_prepared_until_it_reports_a_step_or_has_to_start_again() -> None:
    bars = BarDisplay(tally := Tally(total=1), is_run=True)
    bars.on_event(ReadProgress("pictures", 0.5))
    started = UnitChanged(UNIT, UnitState.RUNNING, 1)
    retried = UnitChanged(UNIT, UnitState.RETRY_WAIT, 1, "lost")
    shown = []
    for event in (started, TRAINED, retried, UnitChanged(UNIT, UnitState.SUCCEEDED, 2)):
        tally.on_event(event)
        bars.on_event(event)
        console = Console(width=80, file=StringIO())
        console.print(bars._drawn())
        assert isinstance(console.file, StringIO)
        shown.append("preparing" in console.file.getvalue())
        assert "frames" not in console.file.getvalue()
    bars.close()
    assert shown == [True, False, True, False]


def test_a_run_has_lines_for_its_first_step_its_last_and_checkpoints_that_are_not_too_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    display = LineDisplay(Tally(), lambda: now)
    for step in range(1, 13):
        now = 4.0 * step
        seconds = {"compute": 3.0} if step % 2 else {"compute": 3.0, "checkpoint": 1.0}
        figures = TrainingFigures(step, step, {"loss": 1.0}, seconds=seconds, taken=step)
        progress = UnitProgress("local-1", "token", step / 12, f"step {step}", training=figures)
        display.on_event(Progressed(UNIT, progress))
    steps = [int(line.split()[-1]) for line in capsys.readouterr().err.splitlines()]
    assert steps == [1, 4, 8, 12]


def test_json_has_the_figures_of_a_run_as_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    JsonDisplay().on_event(TRAINED)
    JsonDisplay().on_event(progressed(0.5, "half"))
    run, frame = map(json.loads, capsys.readouterr().out.splitlines())
    assert run["training"]["losses"] == {"style": 0.25, "content": 1.0}
    assert run["training"]["step"] == 3
    assert frame["training"] is None
