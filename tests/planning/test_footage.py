"""A film becomes a strip of frames, and what will not be as it was is said."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import pytest

from farm.errors import BadParameter
from farm.media import Frame
from farm.media.film import encode_part, join_parts
from farm.model.events import Notice, ReadProgress
from farm.model.job import FilmOptions, JobSpec
from farm.planning.footage import gather
from farm.planning.inputs import list_inputs
from farm.planning.plan import FrameSequence

Make = Callable[..., str]
Pictures = Callable[..., list[tuple[int, int, Frame]]]


def strip_of(source: str, output: str, **film: Any) -> tuple[FrameSequence, list[str]]:
    """Return a job's one strip, and the notes that were told of it."""
    heard: list[ReadProgress | Notice] = []
    spec = JobSpec(task="dim", inputs=(source,), output=output, film=FilmOptions(**film))
    footage = gather(spec, list_inputs(spec.inputs), heard.append, is_endless=False)
    (strip,) = footage.strips
    notes = [event for event in heard if isinstance(event, Notice)]
    assert {note.url for note in notes} <= {source}
    assert heard[: -len(notes) or None] == [e for e in heard if isinstance(e, ReadProgress)]
    return strip, [note.note for note in notes]


def test_a_silent_film_keeps_its_title(clip: Make, tmp_path: Path, pictures: Pictures) -> None:
    source, target = clip("a.mp4", title="Waves"), str(tmp_path / "b.mp4")
    strip, notes = strip_of(source, target)
    assert notes == []
    assert (strip.origin, strip.span) == (source, None)
    assert strip.form
    unit = 1 / Fraction(*strip.form.time_base)
    part = str(tmp_path / "part.nut")
    encode_part(part, strip.form, pictures((0, int(unit / 25))), {})
    join_parts(target, strip.form, [part], strip.origin, strip.span, {})
    with av.open(target) as container:
        assert container.metadata["title"] == "Waves"
        assert [stream.type for stream in container.streams] == ["video"]


LOST = {
    "sound a GIF has no room for": (
        "a.mp4",
        "b.gif",
        "sound track 1 is left out: .gif cannot store sound",
    ),
    "sound that becomes another": (
        "a.mp4",
        "b.webm",
        "sound track 1 is converted from aac to opus: .webm cannot store the original",
    ),
    "sound beside pictures": (
        "a.mp4",
        "f_%03d.png",
        "sound is left out: numbered pictures hold none",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_what_becomes_of_the_sound_is_said(case: str, clip: Make, tmp_path: Path) -> None:
    name, output, note = LOST[case]
    assert strip_of(clip(name, sound="aac"), str(tmp_path / output))[1] == [note]


def test_nothing_is_said_of_what_stays_as_it_is(clip: Make, tmp_path: Path) -> None:
    assert strip_of(clip("a.mp4", sound="aac"), str(tmp_path / "b.mov"))[1] == []


def test_a_lesser_depth_is_said_unless_it_was_asked_for(clip: Make, tmp_path: Path) -> None:
    deep, target = clip("a.mp4", codec="libx265", pixels="yuv420p10le"), str(tmp_path / "b.mp4")
    note = "10 bits per sample are reduced to 8; --depth 10 keeps more"
    assert strip_of(deep, target)[1] == [note]
    assert strip_of(deep, target, depth=8)[1] == []
    assert strip_of(deep, target, codec="hevc")[1] == []


def test_transparency_that_is_left_out_is_said(clip: Make, tmp_path: Path) -> None:
    seen_through = clip("a.mkv", codec="ffv1", pixels="yuva420p")
    assert strip_of(seen_through, str(tmp_path / "b.mp4"))[1] == ["transparency is left out"]
    moving = clip("a.gif", codec="gif", pixels="rgb8", unit=Fraction(1, 10))
    assert strip_of(moving, str(tmp_path / "c.mp4"))[1] == []


def test_a_film_that_is_cut_short_is_said_to_be(clip: Make, tmp_path: Path) -> None:
    whole = Path(clip("a.mkv", times=tuple(range(100))))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (note, *_) = strip_of(str(whole), str(tmp_path / "b.mp4"))[1]
    assert note.startswith(("cut short: ", "damaged: "))


def test_a_film_that_is_refused_is_not_noted(clip: Make, tmp_path: Path) -> None:
    heard: list[ReadProgress | Notice] = []
    inputs = (clip("a.mp4", sound="aac"),)
    spec = JobSpec(task="dim", inputs=inputs, output=str(tmp_path / "b.gif"), frames="90-")
    with pytest.raises(BadParameter, match="begins at 90; there are 30 frames"):
        gather(spec, list_inputs(inputs), heard.append, is_endless=False)
    assert not any(isinstance(event, Notice) for event in heard)
