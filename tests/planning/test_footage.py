"""A film becomes a sequence of frames, and a notice reports whatever the output loses."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import ExifTags, Image

from farm.errors import BadInput, BadOutput, BadParameter, StorageUnavailable
from farm.media import Frame
from farm.media.film import encode_part, join_parts
from farm.model.events import Notice, ReadProgress
from farm.model.job import FilmOptions, JobSpec
from farm.model.work import Render
from farm.planning.footage import read_footage
from farm.planning.inputs import list_inputs
from farm.planning.plan import Footage, FrameSequence, plan_units

from ..clips import scene  # noqa: TID252 - shared between rooms

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
        "sound is left out: pictures cannot contain it",
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


def test_films_are_not_refused_while_their_storage_is_gone(
    folder_storage: Any, clip: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = clip("a.mp4")
    away = folder_storage.put(".away/b.mp4", Path(here).read_bytes())
    monkeypatch.setenv("FARM_CACHE", str(tmp_path / "empty"))
    spec = JobSpec(task="dim", inputs=(here, away), output=f"{tmp_path}/out/")
    with pytest.raises(StorageUnavailable, match="does not answer"):
        read_footage(spec, list_inputs(spec.inputs), lambda _: None, is_endless=False)


def draw(folder: Path, *names: str, height: int = 64, width: int = 96) -> None:
    folder.mkdir(exist_ok=True)
    for name in names:
        Image.new("RGB", (width, height)).save(folder / name)


def footage_of(*inputs: Path | str, output: str, **more: Any) -> tuple[Footage, list[str]]:
    """Return what a job renders, and the text of its notices."""
    events: list[ReadProgress | Notice] = []
    given = tuple(str(path) for path in inputs)
    spec = JobSpec(task="dim", inputs=given, output=output, **more)
    footage = read_footage(spec, list_inputs(given), events.append, is_endless=False)
    return footage, [event.note for event in events if isinstance(event, Notice)]


def targets(footage: Footage) -> list[str]:
    units = plan_units("job", footage, FilmOptions())
    return [Path(unit.target).name for unit in units if not unit.is_working]


def test_a_sequence_that_is_written_keeps_the_numbers_it_was_read_with(tmp_path: Path) -> None:
    draw(tmp_path / "in", "f_0101.png", "f_0103.png", "f_-001.png")
    output = str(tmp_path / "out" / "g_%d.png")
    footage, _ = footage_of(tmp_path / "in" / "f_%04d.png", output=output)
    assert targets(footage) == ["g_-1.png", "g_101.png", "g_103.png"]
    footage, _ = footage_of(tmp_path / "in" / "f_####.png", output=output, frames="2-")
    assert targets(footage) == ["g_101.png", "g_103.png"]


def test_pictures_of_a_folder_are_numbered_from_1(tmp_path: Path) -> None:
    draw(tmp_path / "in", "f_0101.png", "f_0103.png")
    footage, _ = footage_of(tmp_path / "in", output=str(tmp_path / "100%" / "g_%03d.png"))
    assert targets(footage) == ["g_001.png", "g_002.png"]


def test_older_pictures_beside_a_shorter_sequence_are_reported_and_stay(tmp_path: Path) -> None:
    draw(tmp_path / "in", "a.png", "b.png")
    output = str(tmp_path / "out" / "f_%02d.png")
    draw(tmp_path / "out", "f_01.png", "f_02.png")
    assert footage_of(tmp_path / "in", output=output)[1] == []
    draw(tmp_path / "out", "f_03.png")
    (note,) = footage_of(tmp_path / "in", output=output)[1]
    assert note == (
        "another numbered picture in this folder will stay: f_03.png; remove it if it is not needed"
    )
    draw(tmp_path / "out", "f_10.png", "f_100.png")
    (note,) = footage_of(tmp_path / "in", output=output)[1]
    assert note.startswith("3 other numbered pictures in this folder will stay: f_03.png to f_100")


@pytest.mark.parametrize(
    ("height", "width", "note"),
    [
        (
            65,
            96,
            "the last row of pixels is repeated: h264 needs even sides, so 96x65 becomes 96x66",
        ),
        (64, 97, "the last column of pixels is repeated: h264 needs even sides, so 97x64 becomes"),
        (65, 97, "the last row and the last column of pixels are repeated: h264 needs even sides"),
    ],
)
def test_odd_sizes_that_are_padded_are_reported(
    clip: Make, tmp_path: Path, height: int, width: int, note: str
) -> None:
    source = clip("a.mkv", codec="ffv1", pixels="bgr0", height=height, width=width, times=(0, 1))
    (said,) = sequence_of(source, str(tmp_path / "b.mp4"))[1]
    assert said.startswith(note)
    assert sequence_of(source, str(tmp_path / "b.webm"))[1] == []
    draw(tmp_path / "in", "1.png", "2.png", height=height, width=width)
    (said,) = footage_of(tmp_path / "in", output=str(tmp_path / "c.mp4"))[1]
    assert said.startswith(note)


@pytest.mark.parametrize("names", [["1.png"], ["1.png", "2.png"]])
def test_a_film_of_one_frame_is_reported(tmp_path: Path, names: list[str]) -> None:
    draw(tmp_path / "in", *names)
    note = "one picture makes a film of one frame; for a picture, end the path with .png"
    expected = [note] if len(names) == 1 else []
    assert footage_of(tmp_path / "in", output=str(tmp_path / "b.mp4"))[1] == expected
    assert footage_of(tmp_path / "in", output=str(tmp_path / "b.gif"))[1] == []


def test_pictures_of_several_sizes_are_refused_as_one_film(tmp_path: Path) -> None:
    draw(tmp_path / "in", "1.png", "2.png")
    draw(tmp_path / "in", "3.png", height=48)
    reason = r"3\.png: 96x48 pixels, but .*1\.png has 96x64; all pictures of one film must have"
    for output, film in (("b.mp4", {}), ("f_%d.png", {"coherence": "flow"})):
        with pytest.raises(BadInput, match=reason):
            footage_of(tmp_path / "in", output=str(tmp_path / output), film=FilmOptions(**film))
    footage_of(tmp_path / "in", output=str(tmp_path / "f_%d.png"))
    footage_of(tmp_path / "in", output=str(tmp_path / "b.mp4"), frames="2")


def test_the_size_of_a_picture_is_that_after_its_rotation(tmp_path: Path) -> None:
    draw(tmp_path / "in", "1.jpg")
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    Image.new("RGB", (64, 96)).save(tmp_path / "in" / "2.jpg", exif=exif)
    footage_of(tmp_path / "in", output=str(tmp_path / "b.mp4"))


def test_a_damaged_picture_does_not_refuse_a_film(tmp_path: Path) -> None:
    draw(tmp_path / "in", "2.png")
    (tmp_path / "in" / "1.png").write_bytes(b"no picture")
    footage, _ = footage_of(tmp_path / "in", output=str(tmp_path / "b.mp4"))
    assert len(footage.sequences[0].frames) == 2


def test_a_picture_too_large_for_the_output_is_refused_by_name(tmp_path: Path) -> None:
    draw(tmp_path / "in", "wide.png", height=1, width=16400)
    reason = "wide.webp: 16400x1 pixels, but WebP allows 16383 per side; write .png or .tif"
    for output in ("wide.webp", "f_%d.webp"):
        with pytest.raises(BadOutput, match="16400x1 pixels, but WebP allows 16383 per side"):
            footage_of(tmp_path / "in", output=str(tmp_path / output))
    for codec, film, bound in (
        ("h264", "b.mp4", "allows at most 16384x16384, and about 268 million in all; choose"),
        ("av1", "b.mkv", "needs at least 4 per side; choose another --codec"),
    ):
        options = FilmOptions(codec=codec)
        with pytest.raises(BadOutput, match=f"16400x1 pixels, but {codec} {bound}"):
            footage_of(tmp_path / "in", output=str(tmp_path / film), film=options)
    draw(tmp_path / "in", "small.png")
    (tmp_path / "in" / "wide.png").rename(tmp_path / "in" / "wide.webp")
    footage, _ = footage_of(tmp_path / "in", output=f"{tmp_path}/out/")
    ((name, _, target, refusal),) = footage.refused
    assert (name, Path(target).name) == ("wide", "wide.webp")
    assert f"{Path(target).name}: {refusal}" == reason
    assert [still[0] for still in footage.stills] == ["small"]


def test_one_bad_film_in_a_folder_is_listed_and_the_others_are_rendered(
    clip: Make, tmp_path: Path
) -> None:
    clip("a.mp4", times=(0, 1, 2))
    clip("b.mp4", times=(0,))
    (tmp_path / "c.mp4").write_bytes(b"no film")
    footage, _ = footage_of(tmp_path, output=f"{tmp_path}/out/", frames="2-")
    assert [sequence.name for sequence in footage.sequences] == ["a"]
    assert [(name, reason[:32]) for name, _, _, reason in footage.refused] == [
        ("b", "starts at 2, but there are only "),
        ("c", "not a film, damaged, or in an un"),
    ]
    refused = [u for u in plan_units("job", footage, FilmOptions()) if u.name in {"b", "c"}]
    assert [isinstance(u.work, Render) and u.work.refusal for u in refused] == [
        reason for *_, reason in footage.refused
    ]
    with pytest.raises(BadInput, match="not a film"):
        footage_of(tmp_path / "c.mp4", output=f"{tmp_path}/out/")


def test_a_rate_is_refused_for_an_input_that_is_a_film(clip: Make, tmp_path: Path) -> None:
    source, options = clip("a.mp4", times=(0, 1)), FilmOptions.model_validate({"rate": "25"})
    for output in ("b.mp4", "f_%d.png", "out/"):
        with pytest.raises(BadParameter, match="rate: an input is a film, which keeps its own"):
            footage_of(source, output=f"{tmp_path}/{output}", film=options)
    with pytest.raises(BadParameter, match="rate: only applies to films"):
        footage_of("blank:8x8", output=f"{tmp_path}/b.png", film=options)


def test_the_rate_of_a_film_from_pictures_is_exact(tmp_path: Path) -> None:
    options = FilmOptions.model_validate({"rate": "23.976"})
    footage, _ = footage_of("blank:8x8", output=f"{tmp_path}/b.mp4", film=options)
    form = footage.sequences[0].form
    assert form
    assert form.time_base == (1001, 24000)


def test_a_codec_is_refused_for_numbered_pictures(clip: Make, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="codec: numbered pictures have none"):
        sequence_of(clip("a.mp4", times=(0, 1)), f"{tmp_path}/f_%d.png", codec="h264")


def test_the_working_folder_of_a_long_name_fits_on_the_disk(tmp_path: Path) -> None:
    draw(tmp_path / "in", "1.png")
    long, other = ("ü" * 124 + end + ".mp4" for end in ("aaa", "bbb"))
    folders = {
        footage_of(tmp_path / "in", output=f"{tmp_path}/{name}")[0].sequences[0].folder
        for name in (long, other)
    }
    assert len(folders) == 2
    for folder in folders:
        Path(folder).mkdir()
    short = footage_of(tmp_path / "in", output=f"{tmp_path}/b.mp4")[0].sequences[0].folder
    assert short == f"{tmp_path}/.b.mp4.farm"


def test_the_fades_of_a_film_are_places_among_the_chosen_frames(clip: Make, tmp_path: Path) -> None:
    source = clip("a.mp4", times=range(40), draw=lambda i: scene(i) * np.float32(min(1, i / 24)))
    found = []
    for frames in (None, "5-40", "1-40x2"):
        spec = JobSpec(task="dim", inputs=(source,), output=str(tmp_path / "b.mp4"), frames=frames)
        footage = read_footage(spec, list_inputs(spec.inputs), lambda _: None, is_endless=False)
        found += [sequence.fades for sequence in footage.sequences]
    assert found == [(16,), (12,), (8,)]


@pytest.mark.parametrize(
    ("frames", "notes"),
    [
        ("2-400", ["frames 31 to 400 do not exist: there are 30"]),
        ("31", ["frame 31 does not exist: there are 30"]),
        ("1-35x3", ["frames 31 to 34 do not exist: there are 30"]),
        ("1-32x3", ["frame 31 does not exist: there are 30"]),
        ("1-33x2", ["frames 31 to 33 do not exist: there are 30"]),
        ("1-30", []),
        ("1-31x2", ["frame 31 does not exist: there are 30"]),
        ("2-31x2", []),
        ("2-", []),
    ],
)
def test_chosen_frames_that_a_film_does_not_have_are_said(
    clip: Make, tmp_path: Path, frames: str, notes: list[str]
) -> None:
    source, output = clip("a.mp4"), str(tmp_path / "b.mp4")
    assert footage_of(source, output=output, frames=frames)[1] == notes


def test_chosen_pictures_that_a_folder_does_not_have_are_said(tmp_path: Path) -> None:
    draw(tmp_path / "in", "1.png", "2.png", "3.png")
    _, notes = footage_of(tmp_path / "in", output=str(tmp_path / "b.mp4"), frames="2-9")
    assert notes == ["frames 4 to 9 do not exist: there are 3"]
