"""Cuts are found at sudden changes of the picture, and nowhere else."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.media.film import read_film
from farm.media.shots import ShotFinder

Draw = Callable[[int], np.ndarray]


def scene(seed: int) -> np.ndarray:
    """Return smooth noise, 90 x 480."""
    from PIL import Image

    coarse = np.random.default_rng(seed).integers(0, 256, (6, 24, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((480, 90), Image.Resampling.BICUBIC))


def cuts(frames: list[np.ndarray]) -> tuple[int, ...]:
    finder = ShotFinder()
    for frame in frames:
        finder.add(frame.clip(0, 255).astype(np.uint8))
    return finder.cuts


def shot(seed: int, count: int, speed: int = 1) -> list[np.ndarray]:
    """Return a pan over a scene."""
    wide = scene(seed)
    return [wide[:, speed * i : speed * i + 160] for i in range(count)]


@given(st.lists(st.integers(10, 30), min_size=1, max_size=5))
def test_every_hard_cut_is_found_and_nothing_else(lengths: list[int]) -> None:
    frames = [frame for seed, count in enumerate(lengths) for frame in shot(seed, count)]
    assert cuts(frames) == tuple(int(sum(lengths[:index])) for index in range(len(lengths)))


def fades(frames: list[np.ndarray]) -> tuple[int, ...]:
    finder = ShotFinder()
    for frame in frames:
        finder.add(frame.clip(0, 255).astype(np.uint8))
    return finder.fades


def test_a_fade_from_black_or_white_is_found_where_the_picture_has_come_out_of_it() -> None:
    frames = shot(1, 60)
    black = [frame * min(1, index / 24) for index, frame in enumerate(frames)]
    assert fades(black) == (16,)
    assert fades([255 - frame for frame in black]) == (16,)


def test_a_picture_that_goes_through_black_is_found_after_it() -> None:
    dipped = [frame * min(1, abs(index - 20) / 10) for index, frame in enumerate(shot(1, 60))]
    found = fades(dipped)
    assert 20 < found[0] < 30
    assert len(found) <= 2


def test_neither_a_pan_nor_a_cut_is_a_fade() -> None:
    assert fades(shot(1, 60, speed=5)) == ()
    assert fades([frame // 12 for frame in shot(1, 30)] + shot(2, 30)) == ()


def test_a_fast_pan_is_one_shot() -> None:
    assert cuts(shot(1, 30, speed=10)) == (0,)


def test_a_flash_is_not_a_cut() -> None:
    frames = shot(1, 30)
    frames[15] = frames[15] * 0.2 + 200
    assert cuts(frames) == (0,)


def test_a_fade_is_not_a_cut() -> None:
    frames = [frame * (1 - index / 30) for index, frame in enumerate(shot(1, 30))]
    assert cuts(frames) == (0,)


def test_noise_is_not_a_cut() -> None:
    rng = np.random.default_rng(0)
    assert cuts([f + rng.normal(0, 40, f.shape) for f in shot(1, 30)]) == (0,)


def test_shots_have_at_least_8_frames() -> None:
    frames = [frame for seed in range(12) for frame in shot(seed, 3)]
    starts = cuts(frames)
    assert all(later - earlier >= 8 for earlier, later in pairwise(starts))


@pytest.mark.slow
def test_the_cuts_of_a_real_film_are_found(shared_data: Path) -> None:
    finder = ShotFinder()
    read_film(str(shared_data / "videos" / "bikes.mp4"), on_frame=finder.add)
    assert finder.cuts == (0, 30, 76, 137, 187, 242)
