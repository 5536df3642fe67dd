"""A scan finds exact times, upright sizes and colours, and refuses other files with one line."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from farm.errors import BadInput
from farm.media.film import FilmReader, film_facts, film_size, is_film, read_film
from farm.model.film import Colour

from ...clips import write_pngs  # noqa: TID252 - shared between rooms

WriteClip = Callable[..., str]

HUNDREDTH = Fraction(1, 100)
IRREGULAR = (0, 3, 4, 9, 10, 11, 19, 26, 27, 40, 41, 42, 43, 44, 60, 61)


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv"])
def test_times_are_those_of_the_container(clip: WriteClip, name: str) -> None:
    film = read_film(clip(name, times=IRREGULAR, unit=Fraction(1, 100)))
    seconds = [time * film.time_base for time in film.times]
    assert seconds == [Fraction(time, 100) for time in IRREGULAR]
    assert film.is_seekable
    assert film.notes == ()
    assert [film.duration(index) * film.time_base * 100 for index in range(3)] == [3, 1, 5]


@pytest.mark.parametrize("rotation", [0, 90, 180, -90])
def test_the_size_of_a_rotated_film_is_upright(clip: WriteClip, rotation: int) -> None:
    path = clip("a.mp4", rotation=rotation, aspect=Fraction(4, 3))
    film, facts = read_film(path), film_facts(path)
    assert film_size(path) == (facts.width, facts.height) == (film.width, film.height)
    is_on_its_side = rotation in {90, -90}
    assert (film.height, film.width) == ((96, 64) if is_on_its_side else (64, 96))
    assert film.aspect == (Fraction(3, 4) if is_on_its_side else Fraction(4, 3))


def test_rotation_turns_frames_in_the_right_direction(clip: WriteClip) -> None:
    def corner(_: int) -> np.ndarray:
        picture = np.zeros((64, 96, 3), np.float32)
        picture[:32, :48] = 1
        return picture

    path = clip("a.mp4", rotation=90, draw=corner)
    pixels = FilmReader().read(path, read_film(path).moment(0)).pixels
    bright = pixels.mean(2) > 0.5
    assert bright[60:, :28].mean() > 0.95, (
        "a counterclockwise quarter turn moves the top left corner down"
    )
    assert bright.mean() == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize(
    ("pixels", "depth"), [("yuv420p", 8), ("yuv420p10le", 10), ("yuv444p10le", 10)]
)
def test_depth_is_that_of_the_samples(clip: WriteClip, pixels: str, depth: int) -> None:
    assert read_film(clip("a.mp4", pixels=pixels, times=(0, 1))).depth == depth


@pytest.mark.parametrize(
    ("height", "tags", "colour"),
    [
        (64, (2, 2, 2, 0), Colour(2, 2, 6)),
        (720, (2, 2, 2, 0), Colour(2, 2, 1)),
        (64, (1, 13, 1, 2), Colour(1, 13, 1, is_full=True)),
        (720, (5, 6, 5, 1), Colour(5, 6, 5)),
        (64, (9, 16, 9, 1), Colour(9, 16, 9)),
    ],
)
def test_colour_tags_are_read_or_get_defaults(
    clip: WriteClip, height: int, tags: tuple[int, ...], colour: Colour
) -> None:
    quick = {"preset": "ultrafast"}
    film = read_film(clip("a.mp4", height=height, tags=tags, times=(0,), options=quick))
    assert film.colour == colour


def test_every_frame_is_passed_on_once_and_small(clip: WriteClip) -> None:
    small: list[np.ndarray] = []
    progress: list[float] = []
    path = clip("a.mp4", height=120, width=480)
    read_film(path, report=progress.append, on_frame=small.append)
    assert {(picture.shape, str(picture.dtype)) for picture in small} == {((40, 160, 3), "uint8")}
    assert len(small) == 30
    assert progress == sorted(progress)
    assert 0.9 < progress[-1] <= 1


def test_sound_is_detected(clip: WriteClip) -> None:
    assert read_film(clip("a.mp4", sound="aac")).has_sound
    assert not read_film(clip("b.mp4")).has_sound


def test_pictures_that_start_after_the_sound_keep_their_delay(clip: WriteClip) -> None:
    film = read_film(clip("a.mkv", sound="flac", times=tuple(range(5, 20))))
    assert film.times[0] * film.time_base == Fraction(5, 25)


def test_a_film_whose_clock_starts_late_is_shifted_to_0(clip: WriteClip) -> None:
    film = read_film(clip("a.m2ts", codec="mpeg2video"))
    assert film.times[0] == 0
    assert [time * film.time_base * 25 for time in film.times] == list(range(30))
    assert film.is_seekable


def test_times_continue_after_a_clock_reset(clip: WriteClip, tmp_path: Path) -> None:
    first = clip("a.m2ts", codec="mpeg2video")
    joined = tmp_path / "twice.m2ts"
    joined.write_bytes(Path(first).read_bytes() * 2)
    film = read_film(str(joined))
    assert len(film.times) == 60
    assert not film.is_seekable
    steps = np.diff(film.times)
    assert steps.min() == steps.max() == 3600


def write_only_sound(path: Path) -> None:
    with av.open(str(path), "w", "mp4") as out:
        stream = out.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((2, 1024), np.float32), "fltp", "stereo")
        frame.sample_rate, frame.pts = 48000, 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def write_huge(path: Path) -> None:
    with av.open(str(path), "w", "matroska") as out:
        stream = out.add_mux_stream("ffv1", width=40000, height=40000)
        stream.time_base = Fraction(1, 25)
        packet = av.Packet(bytes(100))
        packet.stream, packet.pts, packet.dts = stream, 0, 0
        packet.time_base = Fraction(1, 25)
        out.mux(packet)


def write_png(path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (8, 8)).save(path, "PNG")


@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (lambda path: None, r"no such file"),
        (lambda path: path.mkdir(), r"not a file; give a film"),
        (lambda path: path.write_bytes(b""), r"the file is empty"),
        (lambda path: path.write_text("hello, this is a letter"), r"not a film, damaged, or"),
        (lambda path: path.write_text("#EXTM3U\n#EXTINF:9,\n/etc/hosts\n"), r"not a film"),
        (write_png, r"not a film, damaged, or"),
        (write_only_sound, r"it has no pictures, only sound; give a film"),
        (write_huge, r"not a film, damaged, or"),
    ],
)
def test_a_file_that_is_not_a_film_is_refused_with_one_line(
    tmp_path: Path, write: Callable[[Path], object], reason: str
) -> None:
    path = tmp_path / "film.mp4"
    write(path)
    with pytest.raises(BadInput, match=reason) as refusal:
        read_film(str(path))
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(f"{path}: ")


@pytest.mark.slow
def test_the_rest_of_a_truncated_film_can_be_read(clip: WriteClip, tmp_path: Path) -> None:
    whole = Path(clip("a.mkv", times=tuple(range(100)), options={"g": "10"}))
    short = tmp_path / "short.mkv"
    short.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    film = read_film(str(short))
    assert 20 < len(film.times) < 90
    assert any(note.startswith("cut short") for note in film.notes)
    reader = FilmReader()
    for index in (len(film.times) - 1, 0):
        assert reader.read(str(short), film.moment(index)).pixels.shape == (64, 96, 3)
    reader.close()


@pytest.mark.slow
def test_damaged_films_have_the_same_frames_when_scanned_and_read(
    clip: WriteClip, tmp_path: Path
) -> None:
    data = bytearray(Path(clip("a.mkv", times=tuple(range(80)), options={"g": "10"})).read_bytes())
    for index in range(len(data) // 3, len(data) * 2 // 3, 60):
        data[index] ^= 0xFF
    damaged = tmp_path / "damaged.mkv"
    damaged.write_bytes(data)
    small: list[np.ndarray] = []
    film = read_film(str(damaged), on_frame=small.append)
    assert not film.is_seekable
    assert any(note.startswith("damaged") for note in film.notes)
    assert len(small) == len(film.times) > 20
    assert film.moment(3).time is None
    reader = FilmReader()
    last = reader.read(str(damaged), film.moment(len(film.times) - 1))
    again = FilmReader().read(str(damaged), film.moment(len(film.times) - 1))
    np.testing.assert_array_equal(last.pixels, again.pixels)
    reader.close()


def test_damaged_sound_is_ignored(clip: WriteClip, tmp_path: Path) -> None:
    whole = clip("a.mkv", sound="aac")
    with av.open(whole) as container:
        sounds = [bytes(p) for p in container.demux(container.streams.audio[0]) if p.size > 20]
    data = Path(whole).read_bytes()
    for sound in sounds:
        data = data.replace(sound, bytes(len(sound)))
    broken = tmp_path / "broken.mkv"
    broken.write_bytes(data)
    film, intact = read_film(str(broken)), read_film(whole)
    assert (film.times, film.notes, film.is_seekable) == (intact.times, (), True)


def test_a_gif_is_a_film_if_it_is_animated(clip: WriteClip, tmp_path: Path) -> None:
    animated = clip("a.gif", codec="gif", pixels="rgb8", times=(0, 5), unit=HUNDREDTH)
    still = clip("b.gif", codec="gif", pixels="rgb8", times=(0,), unit=HUNDREDTH)
    assert is_film(animated)
    assert not is_film(still)
    assert not is_film(str(tmp_path / "nowhere.gif"))
    assert is_film("nowhere.MP4")
    assert not is_film("nowhere.png")


COUNTS = {
    "av1_video.mkv": 125,
    "big_buck_bunny_432_433.webm": 24,
    "bikes.mp4": 250,
    "h264_10bits.mp4": 30,
    "h265_video.mp4": 10,
    "iphone_rotated.mov": 66,
    "nasa_13013.mp4": 325,
    "newtonscradle.gif": 36,
    "no_duration.webm": 74,
    "one_second_clip.mp4": 24,
    "realshort.mp4": 36,
    "transparent.webm": 150,
    "video.mp4": 100,
    "video_with_failing_audio.mp4": 280,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_all_frames_of_real_films_are_found(shared_data: Path, name: str) -> None:
    film = read_film(str(shared_data / "videos" / name))
    assert len(film.times) == COUNTS[name]
    assert film.is_seekable == (name != "newtonscradle.gif")
    assert not any(note.startswith(("damaged", "cut short")) for note in film.notes)


def test_a_change_of_size_is_said_and_the_frames_are_scaled(tmp_path: Path) -> None:
    path = str(write_pngs(tmp_path / "a.mov", (64, 64), (64, 64, 32, 32, 64)))
    film = read_film(path)
    assert (len(film.times), film.height, film.width) == (5, 64, 64)
    assert film.notes == (
        "its size changes: from frame 3, at 0.08 s, it is 32x32 pixels, and is scaled to 64x64",
    )
    assert FilmReader().read(path, film.moment(2)).pixels.shape == (64, 64, 3)


ONE_HOLE = (
    "a stretch of it has no frames (0.04 s in all, the first after frame 10, at 0.36 s): "
    "the frame before is shown for longer"
)
TWO_HOLES = (
    "2 stretches of it have no frames (0.16 s in all, the first after frame 10, at 0.36 s): "
    "the frame before is shown for longer"
)


@pytest.mark.parametrize(
    ("missing", "notes"),
    [((), ()), ((10,), (ONE_HOLE,)), ((10, 11, 12, 30), (TWO_HOLES,))],
)
def test_holes_are_said(clip: WriteClip, missing: tuple[int, ...], notes: tuple[str, ...]) -> None:
    times = tuple(time for time in range(60) if time not in missing)
    assert read_film(clip("a.mkv", times=times)).notes == notes


def test_a_film_without_a_steady_rate_has_no_holes(clip: WriteClip) -> None:
    assert read_film(clip("a.mp4", times=IRREGULAR, unit=HUNDREDTH)).notes == ()
    slow = (*range(30), *range(32, 60, 2))
    assert read_film(clip("b.mp4", times=slow)).notes == ()
