"""A part keeps its frames' times, colours and samples; equal input gives equal bytes."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.errors import BadInput, BadOutput
from farm.media import Frame
from farm.media.film import (
    FilmReader,
    choose_format,
    encode_part,
    join_parts,
    read_film,
    read_film_record,
)
from farm.model.film import Colour, FilmFormat

Pictures = Callable[..., list[tuple[int, int, Frame]]]

CODECS = [
    ("a.mp4", "h264", 8),
    ("a.mp4", "h264", 10),
    ("a.mp4", "hevc", 8),
    ("a.mp4", "hevc", 10),
    ("a.mp4", "av1", 8),
    ("a.mp4", "av1", 10),
    ("a.webm", "vp9", 8),
    ("a.mkv", "ffv1", 8),
    ("a.mkv", "ffv1", 16),
    ("a.gif", "gif", 8),
]
GROWTH = """
import sys
from pathlib import Path
import numpy as np
from farm.media import Frame
from farm.media.film import choose_format, encode_part

def own_kilobytes():
    return int(Path("/proc/self/status").read_text().partition("RssAnon:")[2].split()[0])

form = choose_format("a.mkv", "av1", "draft", None, film=None)
frame = Frame(np.random.default_rng(0).random((720, 1280, 3), np.float32))
before = own_kilobytes()
encode_part(sys.argv[1], form, ((time, 1, frame) for time in range(24)), {})
print(own_kilobytes() - before)
"""
IRREGULAR = (2, 3, 7, 8, 9, 20, 21, 22, 23, 30, 41, 42, 43)


def form_of(name: str, codec: str | None = None, depth: int | None = None) -> FilmFormat:
    return choose_format(name, codec, "draft", depth, film=None)


@pytest.mark.slow
@pytest.mark.parametrize(("height", "width", "lookahead"), [(48, 64, 40), (2160, 3840, 21)])
def test_an_encoder_looks_ahead_at_fewer_large_frames(
    tmp_path: Path, height: int, width: int, lookahead: int
) -> None:
    form = choose_format("a.mp4", "h264", "good", None, film=None)
    grey = Frame(np.full((height, width, 3), 0.5, np.float32))
    encode_part(str(tmp_path / "a.nut"), form, [(0, 1, grey)], {})
    assert b"rc_lookahead=%d " % lookahead in (tmp_path / "a.nut").read_bytes()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports a process's own memory")
@pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="threads have no policy here")
def test_no_thread_takes_real_time_priority(tmp_path: Path, pictures: Pictures) -> None:
    """Only root may take it, so only then can this fail."""
    found: set[int] = set()

    def watched() -> Iterator[tuple[int, int, Frame]]:
        for picture in pictures(range(6)):
            yield picture
            found.update(map(os.sched_getscheduler, own_threads()))

    encode_part(str(tmp_path / "p.nut"), form_of("a.mkv", "av1"), watched(), {})
    assert found.isdisjoint({os.SCHED_FIFO, os.SCHED_RR})


def own_threads() -> Iterator[int]:
    return (int(path.name) for path in Path("/proc/self/task").iterdir())


def test_the_memory_of_an_encoder_is_released(tmp_path: Path) -> None:
    command = [sys.executable, "-c", GROWTH, str(tmp_path / "a.nut")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 60 * 1024, "growth in kilobytes"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "codec", "depth"), CODECS)
def test_equal_frames_give_equal_bytes_at_their_own_times(
    tmp_path: Path, pictures: Pictures, look: Any, name: str, codec: str, depth: int
) -> None:
    form = form_of(name, codec, depth)
    paths = [tmp_path / "one.nut", tmp_path / "two.nut"]
    frames = pictures(IRREGULAR, depth=max(8, depth))
    digests = {encode_part(str(path), form, frames, {"task": "dream"}) for path in paths}
    assert len(digests) == 1
    assert paths[0].read_bytes() == paths[1].read_bytes()
    track = look(str(paths[0]))
    assert [time * 25 for time in track.times] == list(IRREGULAR)
    assert track.frames[0].key_frame
    assert read_film_record(str(paths[0])) == {"task": "dream"}


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    steps=st.lists(st.integers(1, 5000), min_size=1, max_size=12),
    start=st.integers(0, 10**6),
    unit=st.builds(Fraction, st.integers(1, 1001), st.integers(1, 10**6)),
)
def test_any_time_base_is_kept(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int], start: int, unit: Fraction
) -> None:
    folder = tmp_path_factory.mktemp("times")
    part, out = str(folder / "part.nut"), str(folder / "out.mp4")
    times = [start + sum(steps[:count]) for count in range(len(steps) + 1)]
    grey = Frame(np.full((16, 16, 3), 0.5, np.float32))
    form = choose_format(out, None, "draft", None, film=None, rate=1 / unit)
    frames = [(t, step, grey) for t, step in zip(times[:-1], steps, strict=True)]
    encode_part(part, form, frames, {})
    join_parts(out, form, [part], None, None, {})
    film = read_film(out)
    assert [(t - film.times[0]) * film.time_base for t in film.times] == [
        (t - start) * unit for t in times[:-1]
    ]
    assert film.last * film.time_base == steps[-1] * unit


@pytest.mark.slow
@pytest.mark.parametrize(("codec", "depth"), [("h264", 8), ("h264", 10), ("av1", 10), ("vp9", 8)])
@pytest.mark.parametrize("colour", [Colour(1, 1, 1), Colour(6, 6, 6), Colour(1, 1, 1, True)])
def test_colours_read_back_within_two_levels(
    tmp_path: Path, codec: str, depth: int, colour: Colour
) -> None:
    patches = np.random.default_rng(5).random((4, 6, 3), dtype=np.float32)
    picture = np.kron(patches, np.ones((16, 16, 1), np.float32))
    form = FilmFormat(codec, "best", depth, colour=colour)
    part, out = str(tmp_path / "part.nut"), str(tmp_path / "out.mkv")
    encode_part(part, form, [(0, 1, Frame(picture))], {})
    join_parts(out, form, [part], None, None, {})
    film = read_film(out)
    assert film.colour == colour
    reader = FilmReader()
    read = reader.read(out, film.moment(0))
    reader.close()
    middles = (slice(7, None, 16), slice(7, None, 16))
    error = np.abs(read.pixels[middles] - picture[middles]).max() * 255
    assert error <= 2 + 1, f"{error:.2f} levels: two for the colours, one for the encoder"


@pytest.mark.parametrize("depth", [8, 16])
def test_ffv1_keeps_every_sample(tmp_path: Path, depth: int) -> None:
    peak = 2**depth - 1
    levels = np.random.default_rng(1).integers(0, peak + 1, (2, 33, 47, 3))
    frames = [Frame((each / np.float32(peak)).astype(np.float32), depth=depth) for each in levels]
    form = form_of("a.mkv", "ffv1", depth)
    part, out = str(tmp_path / "part.nut"), str(tmp_path / "out.mkv")
    encode_part(part, form, [(time, 1, frame) for time, frame in enumerate(frames)], {})
    join_parts(out, form, [part], None, None, {})
    film, reader = read_film(out), FilmReader()
    assert film.depth == depth
    for index, frame in enumerate(frames):
        read = reader.read(out, film.moment(index))
        np.testing.assert_array_equal(read.pixels, frame.pixels)
        assert read.depth == depth
    reader.close()


@pytest.mark.parametrize(("name", "codec", "depth"), CODECS)
def test_odd_sides_are_kept_if_the_codec_allows_them(
    tmp_path: Path, pictures: Pictures, look: Any, name: str, codec: str, depth: int
) -> None:
    part = str(tmp_path / "part.nut")
    encode_part(part, form_of(name, codec, depth), pictures((0, 1), height=67, width=99), {})
    first = look(part).frames[0]
    expected = (68, 100) if codec in {"h264", "hevc"} else (67, 99)
    assert (first.height, first.width) == expected


def test_even_sides_are_made_by_repeating_the_last_row_and_column(tmp_path: Path) -> None:
    picture = np.zeros((17, 33, 3), np.float32)
    picture[-1], picture[:, -1] = 1, 1
    part, out = str(tmp_path / "part.nut"), str(tmp_path / "out.mp4")
    form = choose_format(out, None, "best", None, film=None)
    encode_part(part, form, [(0, 1, Frame(picture))], {})
    join_parts(out, form, [part], None, None, {})
    reader = FilmReader()
    read = reader.read(out, read_film(out).moment(0)).pixels
    reader.close()
    assert read.shape == (18, 34, 3)
    assert read[17].mean() > 0.9
    assert read[:, 33].mean() > 0.9
    assert read[:15, :31].mean() < 0.1


@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_an_error_leaves_no_partial_part(tmp_path: Path, pictures: Pictures, codec: str) -> None:
    def failing_frames() -> Iterator[tuple[int, int, Frame]]:
        yield from pictures(tuple(range(40)))
        raise RuntimeError("the source of frames failed")

    with pytest.raises(RuntimeError, match="the source of frames failed"):
        encode_part(str(tmp_path / "part.nut"), form_of("a.mkv", codec), failing_frames(), {})
    assert list(tmp_path.iterdir()) == []


def test_frames_of_another_size_are_refused(tmp_path: Path, pictures: Pictures) -> None:
    frames = pictures((0, 1)) + pictures((2,), height=32)
    with pytest.raises(
        BadInput,
        match=r"the frame at \d\.\d\d s: it is 96x32 pixels, but frames before it are 96x64",
    ):
        encode_part(str(tmp_path / "part.nut"), form_of("a.mp4"), frames, {})
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_the_codec_cannot_encode_is_refused(tmp_path: Path) -> None:
    wide = Frame(np.zeros((2, 20000, 3), np.float32))
    with pytest.raises(BadOutput, match="av1 cannot encode 20000x2 pixels") as refusal:
        encode_part(str(tmp_path / "part.nut"), form_of("a.mp4", "av1"), [(0, 1, wide)], {})
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.iterdir()) == []
