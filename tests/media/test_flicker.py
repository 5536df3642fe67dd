"""Flicker is what changes beyond motion: none where pictures only move, more with every noise."""

from pathlib import Path

import av
import numpy as np
import pytest

from farm.errors import BadInput
from farm.media.flicker import measure_flicker

from .test_flow import texture

pytestmark = pytest.mark.slow

COUNT = 14


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
    return [wide[:120, 2 * place : 2 * place + 160] for place in range(COUNT)]


@pytest.fixture
def source(tmp_path: Path) -> str:
    return write(tmp_path / "source.mkv", pan())


def noisy(path: Path, strength: float) -> str:
    rng = np.random.default_rng(0)
    return write(path, [f + strength * rng.normal(size=f.shape) for f in pan()])


def test_a_film_flickers_as_its_source_where_pictures_only_change_colour(
    source: str, tmp_path: Path
) -> None:
    found = measure_flicker(source, write(tmp_path / "negative.mkv", [1 - f for f in pan()]))
    assert found.pairs == COUNT - 1
    assert found.rendered == pytest.approx(found.source, rel=0.02)


def test_noise_is_flicker_and_more_of_it_is_more(source: str, tmp_path: Path) -> None:
    weak, strong = (
        measure_flicker(source, noisy(tmp_path / f"{strength}.mkv", strength))
        for strength in (0.02, 0.06)
    )
    assert weak.source < weak.rendered < strong.rendered
    # the mean distance of two normal values is 2 / sqrt(pi) of their spread
    assert strong.rendered == pytest.approx(0.06 * 2 / np.sqrt(np.pi), rel=0.25)


def test_a_film_of_another_size_is_measured_at_its_sources(source: str, tmp_path: Path) -> None:
    halved = write(tmp_path / "half.mkv", [f[::2, ::2] for f in pan()])
    assert measure_flicker(source, halved).rendered < 0.03


def test_a_cut_is_no_flicker(tmp_path: Path) -> None:
    other = [texture(2)[:120, 2 * place : 2 * place + 160] for place in range(COUNT)]
    film = write(tmp_path / "cut.mkv", pan() + other)
    found = measure_flicker(film, film)
    assert found.pairs == 2 * COUNT - 2
    assert found.rendered < 0.02


def test_films_of_different_length_are_refused(source: str, tmp_path: Path) -> None:
    shorter = write(tmp_path / "short.mkv", pan()[:5])
    with pytest.raises(BadInput, match=r"short.mkv: 5 frames, and .*source.mkv has 14"):
        measure_flicker(source, shorter)
