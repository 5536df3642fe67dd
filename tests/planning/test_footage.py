"""A film becomes a sequence of frames, and a notice reports whatever the output loses."""

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
from farm.planning.footage import read_footage
from farm.planning.inputs import list_inputs
from farm.planning.plan import FrameSequence

Make = Callable[..., str]
Pictures = Callable[..., list[tuple[int, int, Frame]]]


def sequence_of(source: str, output: str, **film: Any) -> tuple[FrameSequence, list[str]]:
    """Return the only sequence of a job, and the text of its notices."""
    events: list[ReadProgress | Notice] = []
    spec = JobSpec(task="dim", inputs=(source,), output=output, film=FilmOptions(**film))
    footage = read_footage(spec, list_inputs(spec.inputs), events.append, is_endless=False)
    (sequence,) = footage.sequences
    notices = [event for event in events if isinstance(event, Notice)]
    assert {notice.url for notice in notices} <= {source}
    assert events[: -len(notices) or None] == [e for e in events if isinstance(e, ReadProgress)]
    return sequence, [notice.note for notice in notices]


def test_a_film_without_sound_keeps_its_title(
    clip: Make, tmp_path: Path, pictures: Pictures
) -> None:
    source, target = clip("a.mp4", title="Waves"), str(tmp_path / "b.mp4")
    sequence, notes = sequence_of(source, target)
    assert notes == []
    assert (sequence.origin, sequence.span) == (source, None)
    assert sequence.form
    unit = 1 / Fraction(*sequence.form.time_base)
    part = str(tmp_path / "part.nut")
    encode_part(part, sequence.form, pictures((0, int(unit / 25))), {})
    join_parts(target, sequence.form, [part], sequence.origin, sequence.span, {})
    with av.open(target) as container:
        assert container.metadata["title"] == "Waves"
        assert [stream.type for stream in container.streams] == ["video"]


LOST = {
    "sound in a GIF": (
        "a.mp4",
        "b.gif",
        "sound track 1 is left out: .gif cannot store sound",
    ),
    "sound in another codec": (
        "a.mp4",
        "b.webm",
        "sound track 1 is converted from aac to opus: .webm cannot store the original",
    ),
    "sound beside numbered pictures": (
        "a.mp4",
        "f_%03d.png",
        "sound is left out: numbered pictures cannot contain it",
    ),
}


@pytest.mark.parametrize("case", LOST)
def test_a_notice_reports_what_happens_to_the_sound(case: str, clip: Make, tmp_path: Path) -> None:
    name, output, note = LOST[case]
    assert sequence_of(clip(name, sound="aac"), str(tmp_path / output))[1] == [note]


def test_nothing_is_reported_if_nothing_is_lost(clip: Make, tmp_path: Path) -> None:
    assert sequence_of(clip("a.mp4", sound="aac"), str(tmp_path / "b.mov"))[1] == []


def test_a_smaller_depth_is_reported_unless_it_was_requested(clip: Make, tmp_path: Path) -> None:
    deep, target = clip("a.mp4", codec="libx265", pixels="yuv420p10le"), str(tmp_path / "b.mp4")
    note = "10 bits per sample are reduced to 8; --depth 10 keeps more"
    assert sequence_of(deep, target)[1] == [note]
    assert sequence_of(deep, target, depth=8)[1] == []
    assert sequence_of(deep, target, codec="hevc")[1] == []


def test_lost_transparency_is_reported(clip: Make, tmp_path: Path) -> None:
    transparent = clip("a.mkv", codec="ffv1", pixels="yuva420p")
    assert sequence_of(transparent, str(tmp_path / "b.mp4"))[1] == ["transparency is left out"]
    animation = clip("a.gif", codec="gif", pixels="rgb8", unit=Fraction(1, 10))
    assert sequence_of(animation, str(tmp_path / "c.mp4"))[1] == []


def test_a_truncated_film_is_reported(clip: Make, tmp_path: Path) -> None:
    whole = Path(clip("a.mkv", times=tuple(range(100))))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (note, *_) = sequence_of(str(whole), str(tmp_path / "b.mp4"))[1]
    assert note.startswith(("cut short: ", "damaged: "))


def test_a_refused_film_gives_no_notice(clip: Make, tmp_path: Path) -> None:
    events: list[ReadProgress | Notice] = []
    inputs = (clip("a.mp4", sound="aac"),)
    spec = JobSpec(task="dim", inputs=inputs, output=str(tmp_path / "b.gif"), frames="90-")
    with pytest.raises(BadParameter, match="starts at 90, but there are only 30 frames"):
        read_footage(spec, list_inputs(inputs), events.append, is_endless=False)
    assert not any(isinstance(event, Notice) for event in events)
