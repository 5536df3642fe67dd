"""A frame does not depend on the reading order, and its samples give the standard's colours."""

import random
import threading
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from farm.errors import BadInput
from farm.media.film import FilmReader, read_film
from farm.model.film import Film, Moment

WriteClip = Callable[..., str]

IRREGULAR = tuple(int(time) for time in np.cumsum(np.random.default_rng(0).integers(1, 9, 90)))

CLIPS = {
    "B-frames, one key frame": ("a.mp4", {"options": {"g": "999", "bf": "4"}}),
    "many key frames": ("a.mkv", {"options": {"g": "9", "bf": "2"}}),
    "irregular": ("a.mp4", {"times": IRREGULAR, "unit": Fraction(1, 100)}),
    "frames before their key frame": (
        "a.mp4",
        {"codec": "libx265", "options": {"x265-params": "log-level=none:open-gop=1:keyint=12"}},
    ),
    "no key frames": ("a.mp4", {"options": {"x264-params": "intra-refresh=1:keyint=12"}}),
    "inexact seeking": ("a.m2ts", {"codec": "mpeg2video", "options": {"g": "12", "bf": "2"}}),
    "hidden frames": ("a.webm", {"codec": "libvpx-vp9", "options": {"deadline": "realtime"}}),
    "frames that need all earlier ones": (
        "a.gif",
        {"codec": "gif", "pixels": "rgb8", "unit": Fraction(1, 100)},
    ),
    "rotated": ("a.mov", {"rotation": 90, "options": {"g": "20"}}),
    "10 bits": ("a.mkv", {"pixels": "yuv420p10le", "options": {"g": "20"}}),
}


def read_all(url: str, film: Film) -> list[np.ndarray]:
    reader = FilmReader()
    frames = [reader.read(url, film.moment(index)).pixels for index in range(len(film.times))]
    reader.close()
    return frames


def hops(count: int) -> list[int]:
    """Return indices to read: random, forwards, backwards, and pairs as optical flow reads them."""
    rng = random.Random(3)
    anywhere = [rng.randrange(count) for _ in range(25)]
    pairs = [index + step for index in range(0, count - 1, 7) for step in (1, 0)]
    return anywhere + list(range(0, count, 11)) + list(range(count - 1, 0, -13)) + pairs


@pytest.mark.slow
@pytest.mark.parametrize("kind", CLIPS)
def test_a_frame_does_not_depend_on_the_reading_order(clip: WriteClip, kind: str) -> None:
    name, options = CLIPS[kind]
    url = clip(name, **{"times": tuple(range(90))} | options)
    film = read_film(url)
    frames = read_all(url, film)
    assert len(frames) == 90
    reader = FilmReader()
    for index in hops(len(frames)):
        again = reader.read(url, film.moment(index)).pixels
        np.testing.assert_array_equal(again, frames[index], err_msg=f"frame {index}")
    reader.close()


@pytest.mark.slow
@pytest.mark.parametrize(("kept_bytes", "decoders"), [(2**28, 4), (2**17, 2), (1, 1)])
def test_large_frames_leave_fewer_decoders_open(
    clip: WriteClip, monkeypatch: pytest.MonkeyPatch, kept_bytes: int, decoders: int
) -> None:
    monkeypatch.setattr("farm.media.film.reader._KEPT_BYTES", kept_bytes)
    url = clip("a.mp4", times=tuple(range(90)), options={"g": "20"})
    film, reader = read_film(url), FilmReader()
    frames = read_all(url, film)
    before = threading.active_count()
    for index in (80, 60, 40, 20, 2, *hops(90)):
        again = reader.read(url, film.moment(index)).pixels
        np.testing.assert_array_equal(again, frames[index], err_msg=f"frame {index}")
        assert threading.active_count() - before <= decoders
    reader.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["bikes.mp4", "iphone_rotated.mov", "newtonscradle.gif", "av1_video.mkv"]
)
def test_frames_of_real_films_do_not_depend_on_the_reading_order(
    shared_data: Path, name: str
) -> None:
    url = str(shared_data / "videos" / name)
    film = read_film(url)
    frames = [picture.mean(0) for picture in read_all(url, film)]
    reader = FilmReader()
    for index in hops(len(frames)):
        again = reader.read(url, film.moment(index)).pixels.mean(0)
        np.testing.assert_array_equal(again, frames[index], err_msg=f"frame {index}")
    reader.close()


def test_frames_without_times_are_counted(clip: WriteClip) -> None:
    url = clip("a.mp4", options={"g": "10", "bf": "3"})
    film = read_film(url)
    frames = read_all(url, film)
    reader = FilmReader()
    for index in (20, 21, 3, 29, 29, 0):
        again = reader.read(url, Moment(index)).pixels
        np.testing.assert_array_equal(again, frames[index])
    reader.close()


def decoders() -> int:
    return sum(thread.name.startswith("farm-film") for thread in threading.enumerate())


@pytest.mark.slow
def test_at_most_4_films_stay_open_and_none_after_close(clip: WriteClip) -> None:
    urls = [clip(f"{number}.mp4", times=tuple(range(8))) for number in range(6)]
    film = read_film(urls[0])
    reader = FilmReader()
    for index in range(8):
        for url in urls:
            reader.read(url, film.moment(index))
            assert decoders() <= 4
    reader.close()
    assert decoders() == 0


def test_a_missing_frame_is_reported(clip: WriteClip) -> None:
    url = clip("a.mp4")
    reader = FilmReader()
    with pytest.raises(BadInput, match=r"a\.mp4: frame 8 is missing; has the file changed\?"):
        reader.read(url, Moment(7, 7 * 512 + 1))
    with pytest.raises(BadInput, match="frame 31 is missing"):
        reader.read(url, Moment(30))
    reader.close()


RED, GREEN, BLUE, WHITE = (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 1, 1)


@pytest.mark.parametrize(
    ("matrix", "range_", "pixels", "samples", "colour"),
    [
        (1, 1, "yuv444p", (63, 102, 240), RED),
        (1, 1, "yuv420p", (173, 42, 26), GREEN),
        (1, 1, "yuv422p", (32, 240, 118), BLUE),
        (6, 1, "yuv444p", (81, 90, 240), RED),
        (6, 1, "yuv420p", (145, 54, 34), GREEN),
        (5, 1, "yuv444p", (41, 240, 110), BLUE),
        (6, 2, "yuv444p", (76, 85, 255), RED),
        (6, 2, "yuv420p", (150, 44, 21), GREEN),
        (1, 1, "yuv420p10le", (250, 409, 960), RED),
        (9, 1, "yuv444p10le", (294, 387, 960), RED),
        (1, 1, "yuv420p", (235, 128, 128), WHITE),
        (1, 1, "yuv420p10le", (940, 512, 512), WHITE),
        (1, 2, "yuv420p", (255, 128, 128), WHITE),
        (1, 1, "gray", (235,), WHITE),
        (1, 2, "gray10le", (1023,), WHITE),
    ],
)
def test_samples_give_the_colours_of_their_standard(
    tmp_path: Path,
    matrix: int,
    range_: int,
    pixels: str,
    samples: tuple[int, ...],
    colour: tuple[int, ...],
) -> None:
    url = str(tmp_path / "flat.mkv")
    with av.open(url, "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = 34, 18, pixels
        context.colorspace, context.color_range = matrix, range_
        frame = av.VideoFrame(34, 18, pixels)
        for plane, sample in zip(frame.planes, samples, strict=True):
            kind = np.uint16 if pixels.endswith("10le") else np.uint8
            count = plane.buffer_size // np.dtype(kind).itemsize
            plane.update(np.full(count, sample, kind).tobytes())
        frame.pts, frame.time_base = 0, Fraction(1, 25)
        frame.colorspace, frame.color_range = matrix, range_
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    reader = FilmReader()
    read = reader.read(url, read_film(url).moment(0))
    reader.close()
    levels = 1023 if pixels.endswith("10le") else 255
    np.testing.assert_allclose(read.pixels, np.broadcast_to(colour, (18, 34, 3)), atol=2 / levels)
    assert read.depth == (16 if levels == 1023 else 8)
    assert read.pixels.min() >= 0
    assert read.pixels.max() <= 1
