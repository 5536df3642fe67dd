"""Finished units are skipped, and only those."""

from dataclasses import replace

from farm.model.film import FilmFormat
from farm.model.history import UnitRecord
from farm.model.job import FilmOptions
from farm.model.messages import Figures
from farm.model.unit import Unit, UnitState
from farm.planning.plan import LOOK_AHEAD, FilmFrame, Footage, FrameSequence, plan_units
from farm.planning.resume import finished_units

FRAMES = 250
FIRST, SECOND, THIRD = (f"clip/part{number:04d}" for number in (1, 2, 3))


def make_units(coherence: str = "none") -> tuple[Unit, ...]:
    frames = [FilmFrame("clip.mp4", index + 1, index, 1, index / 25) for index in range(FRAMES)]
    form = FilmFormat("h264")
    sequence = FrameSequence("clip", frames, "out.mp4", ".farm", form, origin="clip.mp4")
    options = FilmOptions.model_validate({"coherence": coherence})
    return plan_units("now", Footage(sequences=(sequence,)), options)


class Disk:
    """Files by path, with their content. At first every record matches them."""

    def __init__(self, units: tuple[Unit, ...]) -> None:
        self.units = units
        self.files = {unit.target: f"rendered {unit.name}" for unit in units} | {
            "clip.mp4": "source"
        }
        self.records = {unit.target: self._record(unit) for unit in units}

    def _record(self, unit: Unit) -> UnitRecord:
        figures = Figures(
            source_sha256=self.files.get(unit.source, ""), target_sha256=self.files[unit.target]
        )
        before = replace(unit, job="before")
        return UnitRecord(before, UnitState.SUCCEEDED, 1, "", figures)

    def finished(self) -> set[str]:
        return finished_units(
            self.units, self.records, lambda path, sha: self.files.get(path, "") == sha
        )

    def unfinished(self) -> set[str]:
        return {unit.name for unit in self.units} - self.finished()

    def target(self, name: str) -> str:
        return next(unit.target for unit in self.units if unit.name == name)


def test_a_unit_is_finished_however_many_workers_shared_it() -> None:
    disk = Disk(plan_units("now", Footage(stills=[("a", "clip.mp4", "a.png")]), FilmOptions()))
    disk.units = tuple(replace(unit, workers=4) for unit in disk.units)
    assert disk.unfinished() == set()


def test_a_finished_film_needs_no_working_files() -> None:
    disk = Disk(make_units())
    for unit in disk.units:
        if unit.is_working:
            del disk.files[unit.target]
    assert disk.unfinished() == set()


def test_a_finished_part_stands_for_its_frames() -> None:
    disk = Disk(make_units())
    rest = {f"clip/{number:06d}" for number in range(241, FRAMES + 1)} | {THIRD, "clip/film"}
    for unit in disk.units:
        if unit.name not in {FIRST, SECOND}:
            del disk.files[unit.target]
        if unit.name in rest:
            del disk.records[unit.target]
    assert disk.unfinished() == rest


def test_a_missing_film_is_joined_again_from_its_parts() -> None:
    disk = Disk(make_units())
    del disk.files["out.mp4"]
    assert disk.unfinished() == {"clip/film"}


def test_a_missing_part_is_encoded_again_from_its_frames() -> None:
    disk = Disk(make_units())
    del disk.files["out.mp4"], disk.files[disk.target(SECOND)]
    assert disk.unfinished() == {SECOND, "clip/film"}


def test_whatever_lacked_a_failed_frame_is_repeated_with_it() -> None:
    disk = Disk(make_units())
    del disk.records[disk.target("clip/000007")]
    assert disk.unfinished() == {"clip/000007", FIRST, "clip/film"}


def test_frames_after_a_failed_one_are_rendered_again() -> None:
    disk = Disk(make_units("flow"))
    del disk.records[disk.target("clip/s0000/000050")]
    unfinished = disk.unfinished()
    assert {"clip/s0000/000050", "clip/s0000/000056", FIRST, "clip/film"} <= unfinished
    assert "clip/s0000/000049" not in unfinished
    assert "clip/s0001/000051" not in unfinished


def test_nothing_is_finished_if_the_source_changed() -> None:
    disk = Disk(make_units())
    disk.files["clip.mp4"] = "another film"
    assert disk.finished() == set()


def test_a_changed_file_is_written_again() -> None:
    disk = Disk(make_units())
    del disk.files["out.mp4"]
    disk.files[disk.target(FIRST)] = disk.files[disk.target("clip/000009")] = "scribbled on"
    assert disk.unfinished() == {"clip/000009", FIRST, "clip/film"}


def test_a_unit_with_other_work_is_not_finished() -> None:
    disk = Disk(make_units())
    target = disk.target(THIRD)
    record = disk.records[target]
    other = replace(record.unit, needs=record.unit.needs[:-1])
    disk.records[target] = replace(record, unit=other)
    assert disk.unfinished() == {THIRD, "clip/film"}


def test_a_frame_that_looked_at_a_later_one_is_rendered_again_if_that_one_changed() -> None:
    frames = [FilmFrame(f"{n}.png", n, n, 1, n / 25) for n in range(1, 21)]
    sequence = FrameSequence("clip", frames, "%05d.png", ".farm")
    disk = Disk(plan_units("now", Footage(sequences=(sequence,)), FilmOptions(coherence="flow")))
    first = disk.units[0]
    record = disk.records[first.target]
    assert record.figures
    looked, later = replace(record.figures, ahead_sha256="as it was"), f"{1 + LOOK_AHEAD}.png"
    disk.records[first.target] = replace(record, figures=looked)
    disk.files[later] = "as it was"
    assert first.name not in disk.unfinished()
    disk.files[later] = "another picture"
    assert first.name in disk.unfinished()
    disk.records[first.target] = replace(record, figures=replace(looked, ahead_sha256=""))
    assert first.name in disk.unfinished()
