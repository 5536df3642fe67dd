"""Flicker measures changes beyond motion: none in a pan, more with more noise."""

from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from farm.errors import BadInput
from farm.media import Frame
from farm.media.film import choose_format, encode_part, join_parts, read_film
from farm.media.flicker import measure_flicker
from farm.media.frame_match import matching_frames
from farm.media.resample import resample

from .test_flow import texture

pytestmark = pytest.mark.slow

COUNT = 14
LENGTHS_DIFFER = (
    r"short\.mkv: it has 5 frames, but .*source\.mkv has 14; "
    r"give the film it was rendered from \(several ranges of frames fit it\)"
)


def write(path: Path, frames: list[np.ndarray], rate: int = 25) -> str:
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *frames[0].shape[:2], "bgr0"
        for frame in frames:
            levels = (frame.clip(0, 1) * 255).round().astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(levels)))
        container.mux(stream.encode(None))
    return str(path)


def pan() -> list[np.ndarray]:
    wide = texture(1)
    return [wide[:120, 2 * i : 2 * i + 160] for i in range(COUNT)]


@pytest.fixture
def source(tmp_path: Path) -> str:
    return write(tmp_path / "source.mkv", pan())


def noisy(path: Path, strength: float) -> str:
    rng = np.random.default_rng(0)
    return write(path, [f + strength * rng.normal(size=f.shape) for f in pan()])


def test_a_change_of_colour_alone_adds_no_flicker(source: str, tmp_path: Path) -> None:
    flicker = measure_flicker(source, write(tmp_path / "negative.mkv", [1 - f for f in pan()]))
    assert flicker.pairs == COUNT - 1
    assert flicker.rendered == pytest.approx(flicker.source, rel=0.02)


def test_more_noise_gives_more_flicker(source: str, tmp_path: Path) -> None:
    weak, strong = (
        measure_flicker(source, noisy(tmp_path / f"{strength}.mkv", strength))
        for strength in (0.02, 0.06)
    )
    assert weak.source < weak.rendered < strong.rendered
    # the mean distance of two normal values is 2 / sqrt(pi) standard deviations
    assert strong.rendered == pytest.approx(0.06 * 2 / np.sqrt(np.pi), rel=0.25)


def test_films_of_different_sizes_can_be_compared(source: str, tmp_path: Path) -> None:
    halved = write(tmp_path / "half.mkv", [f[::2, ::2] for f in pan()])
    assert measure_flicker(source, halved).rendered < 0.03


def test_a_smaller_film_is_compared_with_the_source_at_the_size_it_was_rendered_at(
    source: str, tmp_path: Path
) -> None:
    smaller = [resample(Frame(frame.astype(np.float32)), 60, 80).pixels for frame in pan()]
    figures = measure_flicker(source, write(tmp_path / "smaller.mkv", smaller))
    assert figures.strength < 0.5 / 255
    assert figures.rendered == pytest.approx(figures.source, rel=0.05)


def test_a_cut_does_not_count_as_flicker(tmp_path: Path) -> None:
    other = [texture(2)[:120, 2 * i : 2 * i + 160] for i in range(COUNT)]
    film = write(tmp_path / "cut.mkv", pan() + other)
    flicker = measure_flicker(film, film)
    assert flicker.pairs == 2 * COUNT - 2
    assert flicker.rendered < 0.02


def test_films_of_different_lengths_are_refused(source: str, tmp_path: Path) -> None:
    shorter = write(tmp_path / "short.mkv", pan()[:5])
    with pytest.raises(BadInput, match=LENGTHS_DIFFER):
        measure_flicker(source, shorter)


def render_range(source: str, target: Path, chosen: range, *, is_recorded: bool) -> str:
    """Write chosen frames of a source, with noise, as the farm does, with a record or without."""
    film = read_film(source)
    form = choose_format(str(target), "ffv1", "good", None, film=film)
    rng, unit = np.random.default_rng(0), film.times[1]
    frames = [
        (
            film.times[index] - film.times[chosen[0]],
            unit * chosen.step,
            Frame(
                (pan()[index] + 0.05 * rng.normal(size=(120, 160, 3)).astype(np.float32)).clip(0, 1)
            ),
        )
        for index in chosen
    ]
    part = str(target.with_suffix(".nut"))
    encode_part(part, form, frames, {})
    text = f"{chosen[0] + 1}-{chosen[-1] + 1}x{chosen.step}"
    record = {"film": {"frames": text}} if is_recorded else {}
    join_parts(str(target), form, [part], None, None, record)
    return str(target)


@pytest.mark.parametrize("chosen", [range(4, 11), range(1, 14, 3), range(9, 14)])
def test_a_film_of_some_frames_is_compared_with_those_frames(
    source: str, tmp_path: Path, chosen: range
) -> None:
    rendered = render_range(source, tmp_path / "some.mkv", chosen, is_recorded=True)
    assert matching_frames(read_film(source), read_film(rendered)) == chosen
    flicker = measure_flicker(source, rendered)
    assert flicker.pairs == len(chosen) - 1
    assert flicker.source < 0.03 < flicker.rendered


def test_without_a_record_the_times_find_the_frames_if_they_fit_one_place_only(
    source: str, tmp_path: Path
) -> None:
    every_third = render_range(source, tmp_path / "a.mkv", range(0, 14, 3), is_recorded=False)
    with pytest.raises(BadInput, match="several ranges of frames fit it"):
        measure_flicker(source, every_third)
    fourth = render_range(source, tmp_path / "b.mkv", range(0, 14, 13), is_recorded=False)
    assert matching_frames(read_film(source), read_film(fourth)) == range(0, 14, 13)


def test_strength_is_the_mean_change_of_each_frame(source: str, tmp_path: Path) -> None:
    rising = [0.8 * f + 0.2 * (index / COUNT) for index, f in enumerate(pan())]
    measured = measure_flicker(source, write(tmp_path / "rising.mkv", rising))
    expected = [np.abs(new - old).mean() for new, old in zip(rising, pan(), strict=True)]
    assert [frame.number for frame in measured.frames] == list(range(2, COUNT + 1))
    assert [f.strength for f in measured.frames] == pytest.approx(expected[1:], abs=1 / 255)
    assert measured.strength == pytest.approx(np.mean(expected[1:]), abs=1 / 255)


def test_noise_adds_detail_and_blur_removes_it(source: str, tmp_path: Path) -> None:
    blurred = write(tmp_path / "soft.mkv", [cv2.GaussianBlur(f, (0, 0), 3.0) for f in pan()])
    soft, plain, rough = (
        measure_flicker(source, film).detail
        for film in (blurred, source, noisy(tmp_path / "noisy.mkv", 0.02))
    )
    assert 2 * soft < plain < rough / 2


def test_a_film_of_another_source_is_refused(source: str, tmp_path: Path) -> None:
    slow = write(tmp_path / "slow.mkv", pan()[:3], rate=7)
    with pytest.raises(BadInput, match="no range of frames has its times"):
        measure_flicker(source, slow)
