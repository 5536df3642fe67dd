"""A film is written straight from pictures, whole or not at all."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from farm.errors import BadOutput
from farm.media import Frame
from farm.media.film import read_film, read_film_record, write_film


def frames(count: int = 5, height: int = 20, width: int = 24) -> Iterator[Frame]:
    for number in range(count):
        yield Frame(np.full((height, width, 3), number / count, np.float32))


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".mp4", ".gif", ".webm"])
def test_a_film_has_the_frames_the_rate_and_the_record(tmp_path: Path, suffix: str) -> None:
    target = str(tmp_path / f"a{suffix}")
    write_film(target, frames(), {"seed": 3}, rate=Fraction(10))
    film = read_film(target)
    assert (len(film.times), film.height, film.width) == (5, 20, 24)
    assert (film.times[1] - film.times[0]) * film.time_base == Fraction(1, 10)
    assert read_film_record(target) == {"seed": 3}


def test_a_film_that_fails_half_way_does_not_appear(tmp_path: Path) -> None:
    def broken() -> Iterator[Frame]:
        yield from frames(3)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_film(str(tmp_path / "a.mp4"), broken(), {})
    assert not list(tmp_path.iterdir())


def test_pictures_too_small_for_a_codec_and_other_suffixes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadOutput, match=r"its suffix must be one of \.mp4"):
        write_film(str(tmp_path / "a.txt"), frames(), {})
    with pytest.raises(BadOutput, match="65536x2 pixels, but h264 allows at most"):
        write_film(str(tmp_path / "a.mp4"), frames(1, 2, 65536), {})
    assert not list(tmp_path.iterdir())
