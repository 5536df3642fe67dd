"""Flicker measures changes beyond motion: none in a pan, more with more noise."""

from pathlib import Path

import av
import numpy as np
import pytest

from farm.errors import BadInput
from farm.media.flicker import measure_flicker

from .test_flow import texture

pytestmark = pytest.mark.slow

COUNT = 14
LENGTHS_DIFFER = (
    r"short\.mkv: it has 5 frames, but .*source\.mkv has 14; "
    r"give the film it was rendered from \(several ranges of frames fit it\)"
)


def write(path: Path, frames: list[np.ndarray]) -> str:
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25)
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
