"""An estimate follows from the plan and from what earlier frames have cost, and says what it does not know."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from farm.model.costs import Cost, CostKind
from farm.model.film import FilmFormat, Moment
from farm.model.history import RestoredUnit
from farm.model.job import FilmOptions, Job, JobSpec, Plan
from farm.model.unit import Unit, UnitState
from farm.model.work import Render, Train
from farm.planning.estimating import Estimate, estimate
from farm.planning.plan import FilmFrame, Footage, FrameSequence, plan_units
from farm.planning.submission import Submission

from ..clips import Clip  # noqa: TID252 - shared between rooms

SPEC = JobSpec(task="copy", inputs=("in",), output="out/")
SECOND_PER_MEGAPIXEL = Cost(10, 10.0, 10e6)
MEGAPIXEL = "blank:1000x1000"


@dataclass
class Record:
    """What earlier frames have cost, and the bytes per pixel of formats."""

    known: Cost | None = SECOND_PER_MEGAPIXEL
    formats: Mapping[str, float] = field(default_factory=dict)

    def cost(self, kind: CostKind, device: str = "") -> Cost | None:
        assert kind.task == "copy"
        return self.known

    def bytes_per_pixel(self, task: str, form: str) -> float | None:
        return self.formats.get(form)


def stills(*sources: str) -> list[Unit]:
    return [Unit("job", f"{n}", source, f"out/{n}.png") for n, source in enumerate(sources)]


def film(source: str, frames: int, coherence: str = "none", **more: object) -> tuple[Unit, ...]:
    shown = [FilmFrame(source, n + 1, n, 1, n / 25, Moment(n)) for n in range(frames)]
    sequence = FrameSequence("film", shown, "out.mp4", ".farm", FilmFormat("h264"), **more)  # type: ignore[arg-type]
    options = FilmOptions.model_validate({"coherence": coherence})
    return plan_units("job", Footage(sequences=(sequence,)), options)


def cost(
    units: Sequence[Unit],
    record: Record | None = None,
    workers: int = 1,
    skipped: int = 0,
    size: str | None = None,
) -> Estimate:
    """Return the estimate for a job of these units, the first of which are finished."""
    states = [UnitState.SKIPPED] * skipped + [UnitState.READY] * (len(units) - skipped)
    restored = [RestoredUnit(unit, state) for unit, state in zip(units, states, strict=True)]
    spec = SPEC.model_copy(update={"plan": Plan(size=size)})
    submission = Submission(Job("job", spec, 0.0), tuple(restored))
    return estimate(submission, record or Record(), workers=workers)


def test_stills_cost_their_pixels() -> None:
    found = cost(stills(MEGAPIXEL, "blank:2000x1000"))
    assert (found.units, found.pixels, found.based_on) == (2, 3_000_000, 10)
    assert found.seconds == pytest.approx(3.0)
    assert found.seconds_per_megapixel == pytest.approx(1.0)
    assert found.notes == ()


def test_what_a_frame_costs_whatever_its_size_does_not_grow_with_it() -> None:
    known = replace(SECOND_PER_MEGAPIXEL, per_unit=0.5)
    found = cost(stills(MEGAPIXEL, "blank:4000x1000", "blank:8x8"), Record(known=known))
    assert found.seconds == pytest.approx(1.0 + 2.5 + 0.5, abs=0.001)
    assert found.seconds_per_megapixel == pytest.approx(0.8, abs=0.001)


def test_frames_that_are_far_larger_than_those_measured_are_named_as_such() -> None:
    assert cost(stills("blank:4000x2000")).notes == ()
    (note,) = cost(stills("blank:4000x3000")).notes
    assert note.startswith("the frames that were measured were far smaller, ")


def test_workers_divide_the_work_but_no_frame() -> None:
    assert cost(stills(*[MEGAPIXEL] * 8), workers=4).seconds == pytest.approx(2.0)
    assert cost(stills(MEGAPIXEL), workers=4).seconds == pytest.approx(1.0)
    shared = [replace(unit, workers=4) for unit in stills(MEGAPIXEL, MEGAPIXEL)]
    assert cost(shared, workers=4).seconds == pytest.approx(2.0)


def test_frames_that_continue_each_other_take_their_time_however_many_workers_there_are(
    tmp_path: Path,
) -> None:
    clip = Clip(times=range(2), width=200, height=100).write(tmp_path / "clip.mp4")
    units = film(str(clip), 20, "flow")
    assert cost(units, workers=8).seconds == pytest.approx(20 * 0.02)


def test_a_film_costs_the_pixels_of_its_frames(tmp_path: Path) -> None:
    clip = Clip(times=range(2), width=200, height=100).write(tmp_path / "clip.mp4")
    found = cost(film(str(clip), 20), Record(formats={"h264 good 8": 0.1}))
    assert (found.pixels, found.bytes) == (20 * 20_000, 40_000)


def test_a_film_that_was_turned_is_brought_to_a_size_upright(tmp_path: Path) -> None:
    clip = Clip(times=range(2), width=200, height=100, rotation=90).write(tmp_path / "clip.mp4")
    found = cost(film(str(clip), 20), size="100p")
    assert found.pixels == 20 * 100 * 50


def test_an_endless_film_is_as_large_as_the_still_it_starts_from() -> None:
    found = cost(film(MEGAPIXEL, 5, is_endless=True))
    assert found.pixels == 5_000_000
    assert found.seconds == pytest.approx(5.0)


def test_what_is_skipped_costs_nothing() -> None:
    found = cost(stills(MEGAPIXEL, MEGAPIXEL), Record(formats={"png": 3.0}), skipped=1)
    assert (found.units, found.pixels, found.bytes) == (1, 1_000_000, 3_000_000)


def test_without_earlier_frames_the_time_is_not_known() -> None:
    found = cost(stills(MEGAPIXEL), Record(known=None))
    assert (found.seconds, found.seconds_per_megapixel, found.bytes) == (None, None, None)
    assert found.notes == ("the time is not known: no frame of copy has been measured yet",)


def test_frames_with_other_settings_are_named_as_such() -> None:
    found = cost(stills(MEGAPIXEL), Record(known=replace(SECOND_PER_MEGAPIXEL, is_exact=False)))
    assert found.seconds == pytest.approx(1.0)
    assert found.notes == (
        "the frames that were measured had other settings; the time may differ much",
    )


def test_pictures_that_cannot_be_read_cost_nothing_more_than_the_others(tmp_path: Path) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    found = cost(stills(MEGAPIXEL, str(tmp_path / "broken.png")))
    assert found.pixels == 2_000_000
    refused = replace(stills(MEGAPIXEL)[0], work=Render(refusal="too large"))
    assert cost([refused]).pixels == 0


def test_a_run_has_no_pixels_and_no_time() -> None:
    found = cost([Unit("job", "run", "", "out/run", work=Train(("in",)))])
    assert (found.units, found.pixels, found.seconds) == (1, 0, None)
