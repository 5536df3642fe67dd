"""Optical flow warps pictures to the next frame and detects what comes into view."""

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.media.flow import motion

HEIGHT, WIDTH = 180, 240


def texture(seed: int, height: int = 400, width: int = 400) -> np.ndarray:
    """Return smooth noise of many sizes, float32 0..1."""
    rng, total = np.random.default_rng(seed), np.zeros((height, width, 3), np.float32)
    for cells in (6, 16, 40, 90):
        coarse = rng.normal(size=(cells, cells, 3)).astype(np.float32)
        total += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC) / cells**0.3
    return (total - total.min()) / (total.max() - total.min())


def moved(picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Return the 180 x 240 crop of a picture at (80, 80), after a camera motion."""
    shift = np.float32([[1, 0, -80], [0, 1, -80]])
    turned = cv2.warpAffine(picture, matrix, picture.shape[1::-1], flags=cv2.INTER_CUBIC)
    return cv2.warpAffine(turned, shift, (WIDTH, HEIGHT)).clip(0, 1)


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    return float(-10 * np.log10(np.square(one - other).mean()))


def test_a_still_scene_is_unchanged_and_trusted() -> None:
    picture = texture(1)[:HEIGHT, :WIDTH]
    flow = motion(picture, picture)
    assert np.abs(flow.carry(picture) - picture).max() < 1e-3
    assert flow.trust.min() == 1


def test_the_edges_of_a_still_scene_with_noise_are_trusted() -> None:
    rng, picture = np.random.default_rng(1), texture(1)[:HEIGHT, :WIDTH]
    one, other = (picture + rng.normal(0, 0.02, picture.shape).astype(np.float32) for _ in "ab")
    trust = motion(one.clip(0, 1), other.clip(0, 1)).trust
    assert min(trust[:3].mean(), trust[-3:].mean(), trust[:, :3].mean()) > 0.9


@settings(max_examples=10, deadline=None)
@given(st.integers(-9, 9), st.integers(-9, 9))
def test_a_shift_is_measured_to_a_fraction_of_a_pixel(right: int, down: int) -> None:
    picture = texture(2)
    before = moved(picture, np.float32([[1, 0, 0], [0, 1, 0]]))
    after = moved(picture, np.float32([[1, 0, right], [0, 1, down]]))
    inner = motion(before, after).back[20:-20, 20:-20]
    assert np.abs(inner - [-right, -down]).mean() < 0.2


@pytest.mark.slow
def test_a_rotation_and_a_zoom_are_followed() -> None:
    picture = texture(3)
    before = moved(picture, np.float32([[1, 0, 0], [0, 1, 0]]))
    after = moved(picture, cv2.getRotationMatrix2D((200, 170), 3, 1.03))
    flow = motion(before, after)
    trusted = flow.trust > 0.9
    assert trusted.mean() > 0.8
    assert psnr(flow.carry(before)[trusted], after[trusted]) > 35


def test_uncovered_background_is_not_trusted() -> None:
    background, thing = texture(4)[:HEIGHT, :WIDTH], texture(5)[:60, :60]
    before, after = background.copy(), background.copy()
    before[60:120, 60:120] = thing
    after[60:120, 76:136] = thing
    trust = motion(before, after).trust
    assert trust[65:115, 62:73].mean() < 0.3
    assert trust[65:115, 80:130].mean() > 0.9
    assert trust[10:50].mean() > 0.95


def test_a_picture_of_another_size_is_warped_in_proportion() -> None:
    picture = texture(6)
    before = moved(picture, np.float32([[1, 0, 0], [0, 1, 0]]))
    after = moved(picture, np.float32([[1, 0, 8], [0, 1, -4]]))
    small = motion(before, after).carry(cv2.resize(before, (120, 90)))
    assert psnr(small[10:-10, 10:-10], cv2.resize(after, (120, 90))[10:-10, 10:-10]) > 27


def test_tiny_frames_have_no_motion() -> None:
    flow = motion(texture(7)[:9, :300], texture(8)[:9, :300])
    assert not flow.back.any()
    assert flow.trust.shape == (9, 300)


@pytest.mark.slow
def test_the_flow_does_not_depend_on_threads() -> None:
    before, after = texture(9)[:HEIGHT, :WIDTH], texture(9)[3 : HEIGHT + 3, 5 : WIDTH + 5]
    threads, flows = cv2.getNumThreads(), []
    for number in (1, 4):
        cv2.setNumThreads(number)
        flows.append(motion(before, after))
    cv2.setNumThreads(threads)
    assert np.array_equal(flows[0].back, flows[1].back)
    assert np.array_equal(flows[0].trust, flows[1].trust)
