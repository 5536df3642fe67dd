"""farm flicker says how a film compares with its source, and with another rendering of it."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from ..clips import Clip, scene  # noqa: TID252 - shared with the media
from .conftest import Command

Films = Callable[..., str]


@pytest.fixture
def film(tmp_path: Path) -> Films:
    """Write a film whose frames are changed by so much, and return its path."""

    def write(name: str, change: float = 0.0, frames: int = 4) -> str:
        def draw(index: int) -> np.ndarray:
            return (0.5 * scene(index) + 0.2 + change).astype(np.float32)

        options = {"codec": "ffv1", "pixels": "bgr0", "draw": draw}
        return str(Clip(**options, times=tuple(range(frames))).write(tmp_path / name))

    return write


def test_strength_and_detail_stand_beside_flicker(command: Command, film: Films) -> None:
    done = command("flicker", film("source.mkv"), film("strong.mkv", 0.2))
    assert done.code == 0, done.errors
    flicker, strength, detail = done.results.splitlines()
    assert flicker.startswith("flicker ")
    assert strength == "strength 51.00 of 255, from 51.00 to 51.00"
    assert detail.startswith("detail ")


def test_another_rendering_is_compared_frame_by_frame(command: Command, film: Films) -> None:
    words = ("flicker", film("source.mkv"), film("strong.mkv", 0.2))
    done = command(*words, "--against", film("weak.mkv", 0.1))
    assert "weak.mkv: flicker 1.00, strength 2.0" in done.results.splitlines()[-1]
    told = json.loads(command(*words, "--against", film("weak.mkv", 0.1), "--json").results)
    assert [frame["number"] for frame in told["frames"]] == [2, 3, 4]
    assert told["strength"] == pytest.approx(0.2, abs=0.003)
    assert told["against"]["frames"][0]["strength"] == pytest.approx(0.1, abs=0.003)


def test_other_frames_cannot_be_compared(command: Command, film: Films) -> None:
    words = (
        "flicker",
        film("source.mkv"),
        film("same.mkv"),
        "--against",
        film("short.mkv", frames=3),
    )
    assert "short.mkv: it has " in command(*words).errors


def test_a_clip_that_stands_still_has_no_ratio_of_flicker(command: Command, tmp_path: Path) -> None:
    def write(name: str, change: float) -> str:
        def draw(index: int) -> np.ndarray:
            return (0.5 * scene(0) + 0.2 + index % 2 * change / 255).astype(np.float32)

        options = {"codec": "ffv1", "pixels": "bgr0", "draw": draw}
        return str(Clip(**options, times=tuple(range(4))).write(tmp_path / name))

    still, faint, strong = write("still.mkv", 0), write("faint.mkv", 0.1), write("strong.mkv", 3)
    alone = command("flicker", faint, strong).results.splitlines()[0]
    assert "of 255, the source is steady (3 pairs" in alone
    shown = command("flicker", faint, strong, "--against", still).results.splitlines()[-1]
    assert shown.endswith("still.mkv is steady")
    assert "flicker" not in shown.partition(": ")[2]
    shown = command("flicker", strong, faint, "--against", still).results.splitlines()[-1]
    assert shown.endswith("; both films are steady")
    assert "inf" not in shown
