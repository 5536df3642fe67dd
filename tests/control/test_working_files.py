"""Working files are removed as soon as nothing needs them, and kept if something failed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from farm.control.working_files import WorkingFiles
from farm.model.events import UnitChanged
from farm.model.film import FilmFormat
from farm.model.history import RestoredUnit
from farm.model.job import FilmOptions
from farm.model.unit import Unit, UnitState
from farm.planning.plan import PART, FilmFrame, Footage, FrameSequence, plan_units

S = UnitState
End = Callable[[str, UnitState], None]


@pytest.fixture
def units(tmp_path: Path) -> dict[str, Unit]:
    folder = tmp_path / ".out.mp4.farm"
    frames = [FilmFrame("clip.mp4", place + 1, place, 1, place / 25) for place in range(PART + 1)]
    strip = FrameSequence(
        "clip", frames, str(tmp_path / "out.mp4"), str(folder), FilmFormat("h264")
    )
    planned = plan_units("job", Footage(sequences=(strip,)), FilmOptions())
    folder.mkdir()
    for unit in planned:
        Path(unit.target).touch()
    return {unit.name: unit for unit in planned}


@pytest.fixture
def end(units: dict[str, Unit]) -> End:
    working = WorkingFiles([RestoredUnit(unit, S.BLOCKED) for unit in units.values()])
    return lambda name, state: working.on_change(UnitChanged(units[name], state, 1))


def existing(units: dict[str, Unit]) -> set[str]:
    return {name for name, unit in units.items() if Path(unit.target).exists()}


def frames(units: dict[str, Unit], *, part: int) -> list[str]:
    return list(units[f"clip/part{part:04d}"].needs)


def test_frames_are_removed_when_their_part_is_done_and_no_sooner(
    units: dict[str, Unit], end: End
) -> None:
    for name in frames(units, part=1):
        end(name, S.SUCCEEDED)
    assert existing(units) == set(units)
    end("clip/part0001", S.SUCCEEDED)
    assert existing(units) == set(units) - set(frames(units, part=1))


def test_files_at_urls_are_removed_as_on_a_disk(folder_storage: Any) -> None:
    frames = [FilmFrame("clip.mp4", place + 1, place, 1, place / 25) for place in range(2)]
    folder, target = f"{folder_storage.root}/.out.mp4.farm", f"{folder_storage.root}/out.mp4"
    strip = FrameSequence("clip", frames, target, folder, FilmFormat("h264"))
    planned = plan_units("job", Footage(sequences=(strip,)), FilmOptions())
    working = WorkingFiles([RestoredUnit(unit, S.BLOCKED) for unit in planned])
    for unit in planned:
        folder_storage.put(unit.target.removeprefix(f"{folder_storage.root}/"))
    for unit in planned[:-1]:
        working.on_change(UnitChanged(unit, S.SUCCEEDED, 1))
    assert folder_storage.names() == [".out.mp4.farm/part0001.nut", "out.mp4"]
    working.on_change(UnitChanged(planned[-1], S.SUCCEEDED, 1))
    assert folder_storage.names() == ["out.mp4"]


def test_the_folder_is_removed_with_its_last_file(units: dict[str, Unit], end: End) -> None:
    for name in units:
        end(name, S.SUCCEEDED)
    assert existing(units) == {"clip/film"}
    assert not Path(units["clip/part0001"].target).parent.exists()


def test_a_frame_that_is_tried_again_counts_as_it_ends_then(
    units: dict[str, Unit], end: End
) -> None:
    first = frames(units, part=1)[0]
    end(first, S.QUARANTINED)
    end(first, S.READY)
    for name in units:
        end(name, S.SUCCEEDED)
    assert existing(units) == {"clip/film"}


def test_skipped_frames_count_as_done(units: dict[str, Unit], end: End) -> None:
    for name in units:
        end(name, S.SKIPPED if name.startswith("clip/0") else S.SUCCEEDED)
    assert existing(units) == {"clip/film"}


def test_after_a_failed_frame_the_files_needed_to_repair_the_film_are_kept(
    units: dict[str, Unit], end: End
) -> None:
    for name in units:
        end(name, S.QUARANTINED if name == "clip/000003" else S.SUCCEEDED)
    parts = {"clip/part0001", "clip/part0002"}
    assert existing(units) == {*frames(units, part=1), *parts, "clip/film"}


@pytest.mark.parametrize("state", [S.RUNNING, S.READY, S.SUCCEEDED])
def test_what_the_workers_of_dead_farms_began_to_write_is_removed_when_the_job_ends(
    units: dict[str, Unit], state: UnitState
) -> None:
    name = next(iter(units))
    left = Path(units[name].target).with_name(".farm-0123456789abcdef.part")
    restored = {unit.name: RestoredUnit(unit, S.BLOCKED) for unit in units.values()}
    restored[name] = RestoredUnit(units[name], state, attempt=1)
    working = WorkingFiles(restored.values())
    left.write_bytes(b"half")
    working.end()
    assert not left.exists()
