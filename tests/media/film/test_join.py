"""Joined parts form one film: every frame at its time, with the source's sound and a record."""

import re
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from farm.errors import BadInput, BadOutput, InputChanged
from farm.media import Frame
from farm.media.film import (
    FilmReader,
    choose_format,
    describe_sound_changes,
    encode_part,
    join_parts,
    read_film,
    read_film_record,
)
from farm.model.film import Film, FilmFormat

WriteClip = Callable[..., str]
Pictures = Callable[..., list[tuple[int, int, Frame]]]

IRREGULAR = tuple(int(time) for time in np.cumsum(np.random.default_rng(2).integers(2, 90, 53)))
MILLISECOND = Fraction(1, 1000)
RECORD = {"task": "dream", "layers": ["c4"] * 200}


def write_parts(
    folder: Path, form: FilmFormat, frames: Sequence[tuple[int, int, Frame]], sizes: Sequence[int]
) -> list[str]:
    """Encode frames as parts of these sizes, and one with the rest."""
    ends = [0, *np.cumsum(sizes).tolist(), len(frames)]
    parts = [str(folder / f"part{number}.nut") for number in range(len(ends) - 1)]
    for part, (begin, end) in zip(parts, pairwise(ends), strict=True):
        encode_part(part, form, frames[begin:end], {})
    return parts


def form_of(name: str, codec: str | None, unit: Fraction = MILLISECOND) -> FilmFormat:
    return choose_format(name, codec, "draft", None, film=None, rate=1 / unit)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("out.mp4", "h264"),
        ("out.mov", "hevc"),
        ("out.mp4", "av1"),
        ("out.mkv", "h264"),
        ("out.mkv", "ffv1"),
        ("out.webm", "vp9"),
        ("out.webm", "av1"),
    ],
)
def test_joined_parts_have_the_same_times_as_one_part(
    tmp_path: Path, pictures: Pictures, look: Any, name: str, codec: str
) -> None:
    form, out = form_of(name, codec), str(tmp_path / name)
    frames = pictures(IRREGULAR, last=77)
    parts = write_parts(tmp_path, form, frames, (20, 1, 2, 25))
    digest = join_parts(out, form, parts, None, None, RECORD)
    track = look(out)
    assert [round(time * 1000) for time in track.times] == list(IRREGULAR)
    assert abs(track.end * 1000 - IRREGULAR[-1] - 77) <= (0 if name[-3:] in {"mp4", "mov"} else 77)
    assert read_film_record(out) == RECORD
    assert join_parts(out, form, parts, None, None, RECORD) == digest
    whole = str(tmp_path / f"whole-{name}")
    join_parts(whole, form, write_parts(tmp_path, form, frames, ()), None, None, RECORD)
    assert look(whole).times == track.times


@pytest.mark.slow
@pytest.mark.parametrize(("name", "codec"), [("out.mp4", "h264"), ("out.webm", "vp9")])
def test_every_frame_of_the_parts_is_in_its_place(
    tmp_path: Path, pictures: Pictures, name: str, codec: str
) -> None:
    form, out = form_of(name, codec), str(tmp_path / name)
    frames = pictures(tuple(range(0, 1200, 40)))
    join_parts(out, form, write_parts(tmp_path, form, frames, (7, 9)), None, None, {})
    film, reader = read_film(out), FilmReader()
    assert film.is_seekable
    for index in (0, 6, 7, 15, 16, 29):
        error = np.abs(reader.read(out, film.moment(index)).pixels - frames[index][2].pixels)
        assert error.mean() * 255 < 6, f"frame {index} is a different one, or damaged"
    reader.close()


def write_grey(source: str, out: str, span: tuple[int, int] | None = None) -> Film:
    """Write a film from a source as the farm does, but with grey frames. span: of frames."""
    film = read_film(source)
    form = choose_format(out, None, "draft", None, film=film)
    chosen = range(*span) if span else range(len(film.times))
    begin = film.times[chosen[0]] if span else 0
    grey = Frame(np.full((film.height, film.width, 3), 0.5, np.float32))
    part = str(Path(out).with_suffix(".nut"))
    frames = [(film.times[index] - begin, film.duration(index), grey) for index in chosen]
    encode_part(part, form, frames, {})
    seconds = None
    if span:
        end = film.times[chosen[-1]] + film.duration(chosen[-1])
        seconds = float(begin * film.time_base), float(end * film.time_base)
    join_parts(out, form, [part], source, seconds, RECORD)
    return film


@pytest.mark.parametrize(
    ("source", "out", "codec", "sound"),
    [
        ("a.mp4", "b.mp4", "libx264", "aac"),
        ("a.mp4", "b.mkv", "libx264", "aac"),
        ("a.mkv", "b.mp4", "libx264", "mp3"),
        ("a.webm", "b.webm", "libvpx-vp9", "libopus"),
        ("a.mov", "b.mov", "libx264", "pcm_s16le"),
        ("a.mkv", "b.mkv", "libx264", "flac"),
    ],
)
def test_supported_sound_is_copied_packet_by_packet(
    clip: WriteClip, tmp_path: Path, sound_of: Any, source: str, out: str, codec: str, sound: str
) -> None:
    path, target = clip(source, codec=codec, sound=sound, title="Waves"), str(tmp_path / out)
    write_grey(path, target)
    before, after = sound_of(path), sound_of(target)
    assert [data for _, data in after] == [data for _, data in before]
    offsets = [abs(a - b) for (a, _), (b, _) in zip(after, before, strict=True)]
    assert max(offsets) <= Fraction(1, 1000)
    assert describe_sound_changes(path, target) == ()
    with av.open(target) as container:
        titles = {name.lower(): text for name, text in container.metadata.items()}
    assert titles["title"] == "Waves"


@pytest.mark.parametrize("delay", [0.0, 0.2])
@pytest.mark.parametrize("late", [0, 5])
def test_sound_and_pictures_stay_in_sync(
    clip: WriteClip, tmp_path: Path, look: Any, sound_of: Any, delay: float, late: int
) -> None:
    times = tuple(range(late, late + 20))
    path = clip("a.mp4", sound="aac", sound_delay=delay, times=times)
    target = str(tmp_path / "b.mp4")
    write_grey(path, target)
    before = sound_of(path)[5][0] - look(path).times[0]
    after = sound_of(target)[5][0] - look(target).times[0]
    assert before == pytest.approx(after, abs=0.001)


@pytest.mark.slow
def test_the_sound_of_a_span_starts_at_0(
    clip: WriteClip, tmp_path: Path, look: Any, sound_of: Any
) -> None:
    path = clip("a.mp4", sound="aac", times=tuple(range(100)))
    target = str(tmp_path / "b.mp4")
    write_grey(path, target, (25, 75))
    track = look(target)
    assert (len(track.frames), track.times[0], track.end) == (50, 0, 2)
    packets = {data: time for time, data in sound_of(path)}
    after = sound_of(target)
    assert 0 <= after[0][0] < Fraction(1024, 48000)
    assert 2 - 2 * Fraction(1024, 48000) < after[-1][0] < 2
    assert {round(float(packets[data] - time), 3) for time, data in after} == {1.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("source", "sound", "out", "becomes"),
    [("a.mp4", "aac", "b.webm", "opus"), ("a.webm", "libopus", "b.mov", "aac")],
)
def test_sound_that_the_container_cannot_store_is_converted(
    clip: WriteClip, tmp_path: Path, source: str, sound: str, out: str, becomes: str
) -> None:
    codec = "libvpx-vp9" if source.endswith("webm") else "libx264"
    path = clip(source, codec=codec, sound=sound, times=tuple(range(75)))
    target = str(tmp_path / out)
    write_grey(path, target)
    name = sound.removeprefix("lib")
    change = f"sound track 1 is converted from {name} to {becomes}"
    reason = f"{target[target.rindex('.') :]} cannot store the original"
    assert describe_sound_changes(path, target) == (f"{change}: {reason}",)
    with av.open(target) as container:
        stream = container.streams.audio[0]
        assert stream.codec_context.codec.canonical_name == becomes
        samples = np.concatenate([f.to_ndarray()[0] for f in container.decode(stream)])
    assert abs(len(samples) / 48000 - 3.06) < 0.06
    crossings = np.sum(np.diff(np.signbit(samples)))
    assert crossings / len(samples) == pytest.approx(1 / (20 * np.pi), rel=0.02)


def test_sound_at_a_rate_that_the_container_refuses_is_converted(
    clip: WriteClip, tmp_path: Path, sound_of: Any
) -> None:
    path, target = clip("a.mkv", sound="mp3", sound_rate=8000), str(tmp_path / "b.mp4")
    assert "is converted from mp3 to aac" in describe_sound_changes(path, target)[0]
    write_grey(path, target)
    assert len(sound_of(target)) > 8
    assert describe_sound_changes(path, str(tmp_path / "b.mkv")) == ()


@pytest.mark.slow
def test_damaged_sound_does_not_stop_a_join(clip: WriteClip, tmp_path: Path, sound_of: Any) -> None:
    whole = clip("a.mkv", sound="aac")
    data = Path(whole).read_bytes()
    for _, packet in sound_of(whole):
        data = data.replace(packet, bytes(len(packet)))
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(data)
    for name in ("b.mkv", "b.webm"):
        write_grey(str(broken), str(tmp_path / name))
        assert len(read_film(str(tmp_path / name)).times) == 30


@pytest.mark.slow
def test_colour_tags_and_pixel_aspect_are_those_of_the_format(
    clip: WriteClip, tmp_path: Path, pictures: Pictures, look: Any
) -> None:
    path = clip("a.mp4", rotation=90, aspect=Fraction(4, 3), tags=(9, 16, 9, 1))
    film = read_film(path)
    frames = pictures(film.times, last=film.last, height=96, width=64)
    for name, codec in (("b.mp4", "hevc"), ("c.mp4", "av1"), ("d.mkv", "h264"), ("e.mov", "h264")):
        form = choose_format(name, codec, "draft", None, film=film)
        target = str(tmp_path / name)
        parts = write_parts(tmp_path, form, frames, (10,))
        join_parts(target, form, parts, path, None, {})
        joined = read_film(target)
        assert (joined.aspect, joined.colour) == (Fraction(3, 4), film.colour)
        assert (joined.height, joined.width) == (96, 64)
        assert look(target).frames[0].rotation == 0
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.streams.video[0].codec_context.codec_tag == "hvc1"


def has_right_checksum(path: str) -> bool:
    """Return whether the checksum of a Matroska file's tracks, with a two-byte size, is right."""
    head = Path(path).read_bytes()
    match = re.search(rb"\x16\x54\xae\x6b([\x40-\x7f].)\xbf\x84(....)", head, re.DOTALL)
    assert match
    size = int.from_bytes(match[1]) - 0x4000
    body = head[match.end(2) : match.end(1) + size]
    return zlib.crc32(body).to_bytes(4, "little") == match[2]


ASPECTS = [
    *(Fraction(4, 3), Fraction(3, 4), Fraction(12, 11), Fraction(16, 11), Fraction(64, 45)),
    *(Fraction(32, 27), Fraction(8, 9), Fraction(2), Fraction(1, 2), Fraction(255, 254)),
]


@pytest.mark.parametrize("aspect", ASPECTS)
@pytest.mark.parametrize(
    ("name", "codec"), [("b.mkv", "ffv1"), ("b.mkv", "h264"), ("b.webm", "vp9"), ("b.webm", "av1")]
)
def test_matroska_stores_the_pixel_aspect_and_nothing_else_changes(
    tmp_path: Path, pictures: Pictures, name: str, codec: str, aspect: Fraction
) -> None:
    square = form_of(name, codec)
    form = replace(square, aspect=(aspect.numerator, aspect.denominator))
    frames = pictures((0, 40, 80), last=40, height=56, width=90)
    target, plain = str(tmp_path / name), str(tmp_path / f"square-{name}")
    parts = write_parts(tmp_path, form, frames, (2,))
    join_parts(target, form, parts, None, None, RECORD)
    join_parts(plain, square, parts, None, None, RECORD)
    assert read_film(target).aspect == aspect
    assert read_film_record(target) == RECORD
    if name.endswith(".mkv"):  # WebM has no checksum
        assert has_right_checksum(plain)
        assert has_right_checksum(target)
    with av.open(target) as container, av.open(plain) as other:
        stream, same = container.streams.video[0], other.streams.video[0]
        assert stream.metadata == same.metadata
        assert (stream.height, stream.width) == (56, 90)
        packets = [(packet.pts, packet.dts, bytes(packet)) for packet in container.demux(stream)]
        assert packets == [(packet.pts, packet.dts, bytes(packet)) for packet in other.demux(same)]


def test_the_pixel_aspect_is_stored_in_films_with_sound(
    clip: WriteClip, tmp_path: Path, look: Any, sound_of: Any
) -> None:
    path = clip("a.mp4", sound="aac", aspect=Fraction(64, 45), title="Waves")
    for name in ("b.mkv", "b.webm"):
        target = str(tmp_path / name)
        write_grey(path, target)
        joined = read_film(target)
        assert (joined.aspect, joined.times) == (Fraction(64, 45), tuple(range(0, 1200, 40)))
        assert len(look(target).frames) == 30
    assert [data for _, data in sound_of(str(tmp_path / "b.mkv"))] == [
        data for _, data in sound_of(path)
    ]
    with av.open(str(tmp_path / "b.mkv")) as container:
        assert "title" not in {name.lower() for name in container.streams.video[0].metadata}
        assert container.metadata["title"] == "Waves"


def test_an_mp4_can_be_played_while_it_downloads(clip: WriteClip, tmp_path: Path) -> None:
    target = tmp_path / "b.mp4"
    write_grey(clip("a.mp4", sound="aac"), str(target))
    data = target.read_bytes()
    assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.slow
def test_a_gif_loops_forever_with_its_colours_and_times(tmp_path: Path, pictures: Pictures) -> None:
    form, out = form_of("out.gif", None), str(tmp_path / "out.gif")
    frames = pictures((0, 40, 80, 200, 270, 300, 420), last=250, height=67, width=99)
    digest = join_parts(out, form, write_parts(tmp_path, form, frames, (3, 2)), None, None, RECORD)
    with Image.open(out) as gif:
        assert gif.info["loop"] == 0
        assert gif.n_frames == 7
        delays = []
        for index, (_, _, frame) in enumerate(frames):
            gif.seek(index)
            delays.append(gif.info["duration"])
            error = np.asarray(gif.convert("RGB")) / 255 - frame.pixels
            assert np.abs(error).mean() < 0.06
    assert delays == [40, 40, 120, 70, 30, 120, 250]
    assert read_film_record(out) == RECORD
    assert (
        join_parts(out, form, write_parts(tmp_path, form, frames, (3, 2)), None, None, RECORD)
        == digest
    )
    assert read_film(out).last == 25


def test_mismatched_and_missing_parts_are_refused(tmp_path: Path, pictures: Pictures) -> None:
    form = form_of("out.mp4", None)
    parts = write_parts(tmp_path, form, pictures((0, 40)), ())
    other = str(tmp_path / "other.nut")
    encode_part(other, form, pictures((80,), height=32), {})
    with pytest.raises(
        BadInput, match=r"other\.nut: it is encoded differently from the first part; remove"
    ):
        join_parts(str(tmp_path / "out.mp4"), form, [*parts, other], None, None, {})
    missing = str(tmp_path / "missing.nut")
    with pytest.raises(BadInput, match=r"missing\.nut: no such file"):
        join_parts(str(tmp_path / "out.mp4"), form, [*parts, missing], None, None, {})
    assert not list(tmp_path.glob("*.mp4"))
    assert not list(tmp_path.glob(".farm*"))


def test_other_films_have_no_record_and_other_suffixes_are_refused(
    clip: WriteClip, tmp_path: Path
) -> None:
    assert read_film_record(clip("a.mp4", title="Waves")) is None
    with pytest.raises(BadOutput, match=r"its suffix must be one of"):
        join_parts(str(tmp_path / "a.avi"), form_of("a.mp4", None), [], None, None, {})


def test_a_film_whose_check_fails_never_appears(tmp_path: Path, pictures: Pictures) -> None:
    form, folder = form_of("out.mp4", "h264"), tmp_path / "out"
    parts = write_parts(tmp_path, form, pictures((0, 40, 80)), ())
    target = folder / "film.mp4"
    seen: list[set[str]] = []

    def check() -> None:
        seen.append({path.suffix for path in folder.iterdir()})
        raise InputChanged("in.mp4", "has changed")

    with pytest.raises(InputChanged):
        join_parts(str(target), form, parts, None, None, {}, check)
    assert seen == [{".part"}]
    assert list(folder.iterdir()) == []
