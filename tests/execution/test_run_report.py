"""What a person sees of a run: a table, curves, a page without outside references, and films."""

import csv
import json
import logging
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch
from PIL import Image

from farm.engine.training import Observation, TrainingOptions, TrainState, write_picture
from farm.engine.training.loop import train
from farm.engine.training.runs import CHECKPOINTS, LOG, PAGE
from farm.engine.world import World
from farm.errors import Cancelled, StorageUnavailable
from farm.execution.run_report import RunReport
from farm.execution.run_report.report import CURVES
from farm.execution.run_report.run_curves import arrange, draw
from farm.execution.run_report.run_history import TABLE
from farm.execution.run_report.series import Series
from farm.execution.run_report.transition import RATE, write_films
from farm.media.film import read_film

from ..engine.threads import Threads  # noqa: TID252 - shared with the tests of the world
from ..engine.training.runs import (  # noqa: TID252 - the run of the loop's tests
    BATCH,
    STEPS,
    make_state,
    make_step,
)

pytestmark = pytest.mark.slow  # matplotlib draws

HOSTILE = "<script src=//x.y/z>$\\frac{</script>&\"'"


def observe() -> Observation:
    return Observation({"samples": torch.rand(1, 3, 9, 15)}, {"accuracy": 0.5})


def follow(folder: Path, steps: int = STEPS, **options: Any) -> RunReport:
    """Train a tiny network up to this step, with a checkpoint every 5 steps, and report on it."""
    settings = TrainingOptions(folder, steps, BATCH, every=5)
    report = RunReport(settings)
    train(make_state(), make_step(), settings, observe=observe, watcher=report, **options)
    return report


def table(folder: Path) -> list[dict[str, str]]:
    with (folder / TABLE).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("finished")
    follow(folder)
    return folder


def stop_after(step: int, error: type[BaseException] = Cancelled) -> Callable[..., None]:
    def report(done: float, *_: object) -> None:
        if done >= step / STEPS:
            raise error

    return report


def test_everything_is_there_after_the_first_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(SystemExit):
        follow(tmp_path, report=stop_after(5, SystemExit))
    assert [row["step"] for row in table(tmp_path)] == list("12345")
    with Image.open(tmp_path / CURVES) as curves:
        assert min(curves.size) > 300
    page = read_page(tmp_path)
    assert "Step 5 of 20, 20 pictures" in page.text
    assert page.refreshes
    assert not list(tmp_path.glob("*.mp4"))


def test_the_table_of_a_run_equals_its_log(finished: Path) -> None:
    lines = [json.loads(line) for line in (finished / LOG).read_text().splitlines()]
    rows = table(finished)
    assert len(lines) == STEPS
    for line, row in zip(lines, rows, strict=True):
        assert {name: float(value) for name, value in row.items() if value} == line
    assert [row["accuracy"] for row in rows[::5]] == [""] * 4
    assert [row["accuracy"] for row in rows[4::5]] == ["0.5"] * 4


def test_a_resumed_run_has_the_table_and_film_of_an_uninterrupted_one(
    finished: Path, tmp_path: Path
) -> None:
    with pytest.raises(Cancelled):
        follow(tmp_path, report=stop_after(7))
    follow(tmp_path)
    assert (tmp_path / TABLE).read_bytes() == (finished / TABLE).read_bytes()
    assert frames(tmp_path / "samples.mp4") == frames(finished / "samples.mp4")


def test_a_run_that_was_stopped_has_a_report_up_to_its_last_step(tmp_path: Path) -> None:
    with pytest.raises(Cancelled):
        follow(tmp_path, report=stop_after(7))
    page = read_page(tmp_path).text
    assert "stopped" in page
    assert "Step 7 of" in " ".join(page.split())
    assert len((tmp_path / TABLE).read_text().splitlines()) == 1 + 7
    follow(tmp_path)
    assert "finished" in read_page(tmp_path).text


def test_a_run_killed_before_its_last_report_gets_it_when_it_resumes(
    finished: Path, tmp_path: Path
) -> None:
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    made = [tmp_path / name for name in (TABLE, CURVES, PAGE, "samples.mp4", "samples.gif")]
    for path in made:
        path.unlink()
    follow(tmp_path)
    assert [path.name for path in made if not path.is_file()] == []
    assert "finished" in read_page(tmp_path).text


def test_only_the_first_worker_reports(tmp_path: Path) -> None:
    class Counting:
        def __init__(self) -> None:
            self.calls: list[str] = []

        def on_step(self, _record: object) -> None:
            self.calls.append("step")

        def on_checkpoint(self, _state: object, _observation: object) -> None:
            self.calls.append("checkpoint")

        def on_stop(self, _state: object) -> None:
            self.calls.append("stop")

        def on_end(self, _state: object) -> None:
            self.calls.append("end")

    states = [make_state(), make_state()]

    def program(world: World) -> list[str]:
        watcher, settings = Counting(), TrainingOptions(tmp_path, 2, BATCH, every=5)
        train(states[world.rank], make_step(world), settings, world=world, watcher=watcher)
        return watcher.calls

    assert Threads(2).run(program) == [["step", "checkpoint", "step", "end"], []]


# The page


class Page(HTMLParser):
    """The text, tags and references of a page."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.text, self.tags, self.references = "", set[str](), list[str]()
        self.refreshes = False
        self.feed(content)
        self.styles = re.findall(r"url\((.*?)\)|@import", content)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        names = {"src", "href", "xlink:href", "srcset", "action", "data", "poster"}
        self.references += [value or "" for name, value in attributes if name in names]
        self.refreshes |= ("http-equiv", "refresh") in attributes

    def handle_data(self, data: str) -> None:
        self.text += data


def read_page(folder: Path) -> Page:
    return Page((folder / PAGE).read_text())


@pytest.fixture
def hostile(tmp_path: Path) -> Page:
    """The page of a run in which every text from outside is an attack."""
    folder = tmp_path / "<b>run"
    (folder / CHECKPOINTS).mkdir(parents=True)
    write_picture(folder / CHECKPOINTS / "step-00000002.<b>&.png", torch.rand(1, 3, 8, 8))
    lines = [
        {"step": 1, HOSTILE: 0.25, "_hidden": 1.0, "猫": 2.0, "warning": f"careful: {HOSTILE}"},
        {"step": 2, HOSTILE: 0.5, "_hidden": 1.0, "猫": 2.0},
    ]
    (folder / LOG).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    (folder / "run.json").write_text(json.dumps({"task": HOSTILE, "params": {}, "seed": 1234567}))
    decision = {"step": 1, "factor": 0.2, "reason": f"the loss rose {HOSTILE}"}
    state = TrainState({}, {}, 5, {HOSTILE: HOSTILE}, step=2)
    state.memory["rate"] = {"decisions": [decision]}
    report = RunReport(TrainingOptions(folder, 10, 4))
    report.on_checkpoint(state, Observation())
    return read_page(folder)


def test_texts_from_outside_stay_text(hostile: Page) -> None:
    assert not {"script", "b", "frac"} & hostile.tags
    assert hostile.text.count(HOSTILE) >= 5
    assert "<b>run" in hostile.text
    assert "<b>&" in hostile.text


def test_a_page_shows_the_seed_that_was_given(hostile: Page) -> None:
    assert re.search(r"seed\s*1234567\b", hostile.text)


def test_a_page_shows_decisions_and_warnings(hostile: Page) -> None:
    assert "the loss rose <script" in hostile.text
    assert "careful: <script" in hostile.text
    assert "1\N{EN DASH}2" in hostile.text


def test_a_page_needs_no_other_file(hostile: Page) -> None:
    assert any(reference.startswith("data:image/png;base64,") for reference in hostile.references)
    for reference in hostile.references:
        assert reference == TABLE or reference.startswith(("data:image/", "#"))
    assert not {"link", "iframe", "object", "embed", "base", "form"} & hostile.tags
    assert all(target.startswith("#") for target in hostile.styles)


def test_every_curve_is_in_the_legend(hostile: Page) -> None:
    assert "_hidden" in hostile.text
    assert "猫" in hostile.text


def test_the_page_of_a_finished_run_links_its_films_and_stays(finished: Path) -> None:
    page = read_page(finished)
    assert {"samples.mp4", "samples.gif"} <= set(page.references)
    assert not page.refreshes
    assert "finished" in page.text


# Curves


def series(*values: float, first: int = 1, every: int = 1) -> Series:
    result = Series()
    for number, value in enumerate(values):
        result.add(first + number * every, value)
    return result


def test_figures_of_checkpoints_have_a_panel_of_their_own() -> None:
    steps = [float(step) for step in range(20)]
    figures = {"real": series(*steps), "deviation": series(*steps), "accuracy": series(0.1, 0.2)}
    panels = arrange(figures, {"real"}, 20)
    assert [(list(panel.curves), panel.is_sparse) for panel in panels] == [
        (["real"], False),
        (["deviation"], False),
        (["accuracy"], True),
    ]


def test_a_logarithmic_axis_has_plain_numbers() -> None:
    svg = draw(arrange({"loss": series(*np.logspace(2, -3, 40))}, {"loss"}, 40), BytesIO())
    assert "0.01</text>" in svg
    assert "$" not in svg


@pytest.mark.parametrize("values", [(1.0,), (0.0, 0.0), (1e-6, 1.0, 1e6), (float("nan"), -1.0)])
def test_any_values_can_be_drawn(tmp_path: Path, values: tuple[float, ...]) -> None:
    with (tmp_path / CURVES).open("wb") as file:
        svg = draw(arrange({"loss": series(*values)}, {"loss"}, len(values)), file)
    assert svg.startswith("<svg")
    with Image.open(tmp_path / CURVES) as curves:
        curves.load()


# Films


def picture(folder: Path, step: int, *, side: int = 9) -> None:
    path = folder / CHECKPOINTS / f"step-{step:08}.samples.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_picture(path, torch.rand(1, 3, side, side))


def frames(path: Path) -> tuple[int, float]:
    """Return a film's number of frames and the seconds that the last one is shown."""
    film = read_film(str(path))
    return len(film.times), float(film.last * film.time_base)


def test_a_film_has_a_frame_for_each_checkpoint_and_holds_the_last(finished: Path) -> None:
    for suffix in (".mp4", ".gif"):
        count, held = frames(finished / f"samples{suffix}")
        assert count == STEPS // 5
        assert held == pytest.approx(2, abs=0.1)
    with av.open(str(finished / "samples.mp4")) as film:
        video = film.streams.video[0]
        assert (video.width % 2, video.height % 2) == (0, 0)
        assert video.codec_context.name == "h264"
    assert not list(finished.glob(".*")), "temporary files remain"


def test_a_long_run_has_a_film_of_20_seconds(tmp_path: Path) -> None:
    for step in range(0, 6010, 10):
        picture(tmp_path, step, side=4)
    write_films(TrainingOptions(tmp_path, 6000, 1, every=10), {})
    assert frames(tmp_path / "samples.mp4")[0] == 20 * RATE


def test_a_film_leaves_out_what_does_not_fit(tmp_path: Path) -> None:
    for step, side in {0: 9, 10: 11, 20: 9, 27: 9, 30: 9, 33: 9}.items():
        picture(tmp_path, step, side=side)
    write_films(TrainingOptions(tmp_path, 33, 1, every=10), {})
    assert frames(tmp_path / "samples.mp4")[0] == 4


def test_a_single_picture_is_no_film(tmp_path: Path) -> None:
    picture(tmp_path, 10)
    write_films(TrainingOptions(tmp_path, 10, 1, every=10), {})
    assert not list(tmp_path.glob("samples.*"))


# Trouble


def test_what_cannot_be_drawn_is_said_once_and_ends_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / CURVES).mkdir()
    follow(tmp_path)
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert re.match(
        r"the report of the run in .* is incomplete: BadOutput: .*curves\.png.*; training goes on",
        record.getMessage(),
    )
    assert len(table(tmp_path)) == STEPS
    assert (tmp_path / "samples.mp4").is_file()


def test_a_full_disk_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_full(path: Path, mode: str, *, opener: Any) -> object:
        is_report = path.parent == tmp_path
        is_full = is_report and (tmp_path / LOG).is_file() and (tmp_path / LOG).stat().st_size
        return open("/dev/full", "wb") if is_full else open(path, mode, opener=opener)  # noqa: PTH123 - it takes an opener

    monkeypatch.setattr("farm.storage.local.open", open_full, raising=False)
    with pytest.raises(StorageUnavailable, match=r"losses\.csv: the disk is full"):
        follow(tmp_path)


def test_quick_checkpoints_are_not_slowed_down_by_their_reports(tmp_path: Path) -> None:
    times = iter([0.0, 0.0, 1.0, 15.0, 21.0, 22.0])
    report = RunReport(TrainingOptions(tmp_path, 1000, 1), clock=lambda: next(times))
    steps = []
    for step in (100, 200, 300):
        (tmp_path / LOG).write_text(f'{{"step": {step}, "loss": 1.0}}\n')
        report.on_checkpoint(TrainState({}, {}, 0, step=step), Observation())
        steps.append(int(re.findall(r"Step (\d+)", read_page(tmp_path).text)[0]))
    assert steps == [100, 100, 300]


def test_a_run_that_goes_back_between_two_reports_loses_the_later_rows(tmp_path: Path) -> None:
    times = iter([0.0, 0.0, 1.0, 2.0, 30.0, 31.0])
    report = RunReport(TrainingOptions(tmp_path, 1000, 1), clock=lambda: next(times))
    for steps, loss in ((range(1, 9), 1.0), (range(1, 5), 1.0), (range(5, 13), 2.0)):
        lines = [json.dumps({"step": step, "loss": loss}) for step in steps]
        with (tmp_path / LOG).open("a" if steps[0] == 5 else "w") as log:
            log.writelines(f"{line}\n" for line in lines)
        report.on_checkpoint(TrainState({}, {}, 0, step=steps[-1]), Observation())
    rows = [(int(row["step"]), float(row["loss"])) for row in table(tmp_path)]
    assert rows == [(step, 1.0 if step < 5 else 2.0) for step in range(1, 13)]
