"""Films of pixels that are not square are rendered as they are shown where the output has no shape for them."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from farm.model.events import Notice, ReadProgress
from farm.model.job import FilmOptions, JobSpec, Plan
from farm.model.work import Render
from farm.planning.footage import read_footage
from farm.planning.inputs import list_inputs
from farm.planning.plan import plan_units


def planned(
    source: str, output: Path, notes: list[str], size: str | None = None
) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
    """Return the shape that frames are brought to, and the pixel aspect of the film."""
    spec = JobSpec(task="dream", inputs=(source,), output=str(output), plan=Plan(size=size))

    def notify(event: ReadProgress | Notice) -> None:
        notes.extend([event.note] if isinstance(event, Notice) else [])

    footage = read_footage(spec, list_inputs([source]), notify, is_endless=False)
    units = plan_units("job", footage, FilmOptions())
    assert isinstance(units[0].work, Render)
    form = footage.sequences[0].form
    return units[0].work.shape, form and form.aspect


@pytest.mark.parametrize("name", ["out.gif", "f_%d.png"])
def test_they_become_square_and_the_farm_says_so(
    name: str, clip: Callable[..., str], tmp_path: Path
) -> None:
    notes: list[str] = []
    source = clip("wide.mp4", aspect=Fraction(4, 3))
    shape, aspect = planned(source, tmp_path / "out" / name, notes)
    assert shape == (64, 128)
    assert aspect in {None, (1, 1)}
    assert notes == ["its pixels are not square; it is rendered as it is shown, 128x64"]
    assert planned(source, tmp_path / "out" / name, notes, "50%")[0] == (32, 64)


def test_a_format_that_has_their_shape_keeps_it(clip: Callable[..., str], tmp_path: Path) -> None:
    notes: list[str] = []
    source = clip("wide.mp4", aspect=Fraction(4, 3))
    assert planned(source, tmp_path / "out.mp4", notes) == (None, (4, 3))
    assert notes == []
