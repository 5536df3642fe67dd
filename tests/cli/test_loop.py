"""A film that runs in circles: its end fades into its start."""

import shlex
from pathlib import Path

import av
import numpy as np
import pytest

from farm.media import read_still

from ..clips import Clip  # noqa: TID252 - shared between rooms
from .conftest import Command

KEEP = '''
from farm import Effect, hookimpl

class Keep(Effect):
    """Keep the picture."""
    name = "keep"
    def render(self, image, context):
        return image.clone()

class Glow(Effect):
    """Brighten every frame."""
    name = "glow"
    is_endless = True
    def render(self, image, context):
        return image + 0.1

@hookimpl
def farm_tasks():
    return [Keep, Glow]
'''
LOSSLESS = ("--codec", "ffv1", "--threads", "1")


@pytest.fixture(autouse=True)
def film(tmp_path: Path) -> str:
    """A film of 8 grey frames with sound, each brighter than the last."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "keep.py").write_text(KEEP)

    def draw(index: int) -> np.ndarray:
        return np.full((64, 96, 3), (index + 1) / 10, np.float32)

    clip = Clip(times=range(8), draw=draw, sound="aac", options={"qp": "0"})
    return clip.write(tmp_path / "clip.mp4").name


def render(command: Command, *words: object) -> str:
    done = command("--plugins-dir", "plugins", *words)
    assert done.code == 0, done.errors
    return done.errors


def greys(file: str) -> list[float]:
    with av.open(file) as opened:
        frames = opened.decode(video=0)
        return [float(frame.to_ndarray(format="rgb24").mean() / 255) for frame in frames]


FADED = [0.7 + (0.1 - 0.7) / 3, 0.8 + (0.2 - 0.8) * 2 / 3, 0.3, 0.4, 0.5, 0.6]


def test_the_last_frames_of_a_film_fade_into_its_first(command: Command, film: str) -> None:
    told = render(command, "keep", film, "-o", "o.mkv", "--loop", *LOSSLESS)
    assert "it loops: its last 2 frames fade into its first, and it is as much shorter" in told
    assert greys("o.mkv") == pytest.approx(FADED, abs=0.03)
    with av.open("o.mkv") as opened:
        packets = [packet for packet in opened.demux(audio=0) if packet.pts is not None]
        times = [float(packet.pts * packet.time_base) for packet in packets if packet.time_base]
    assert max(times) < 6 / 25


@pytest.mark.parametrize("output", ["o.mkv", "o/%d.png"])
def test_the_frames_that_a_loop_shows_are_counted(command: Command, film: str, output: str) -> None:
    words = ("--plugins-dir", "plugins", "keep", film, "-o", output, "--loop", "--threads", "1")
    assert command(*words, "--dry-run").results.startswith("would render 6 frames")
    done = command(*words)
    assert done.results.startswith("rendered 6; output: ")
    assert "[6/6] " in done.errors


def test_an_endless_effect_renders_as_many_frames_more(command: Command) -> None:
    words = ("glow", "blank:48x32:#000000", "--frames", "8", "--loop", "-o")
    render(command, *words, "o.mkv", *LOSSLESS)
    shown = [0.9 + (0.1 - 0.9) / 3, 1 + (0.2 - 1) * 2 / 3, *(n / 10 for n in range(3, 9))]
    assert greys("o.mkv") == pytest.approx(shown, abs=0.03)
    render(command, *words, "o/%d.png", "--threads", "1")
    found = [float(read_still(f"o/{number}.png").pixels.mean()) for number in range(1, 9)]
    assert found == pytest.approx(shown, abs=0.03)
    assert not Path("o/9.png").exists()


def test_that_a_short_film_loops_is_said_in_good_english(command: Command, film: str) -> None:
    words = ("-o", "o/%d.png", "--loop", "--frames", "1-4", "--threads", "1")
    told = render(command, "keep", film, *words)
    assert "it loops: its last frame fades into its first, and it is as much shorter" in told


def test_a_looped_film_is_made_again_by_the_command_that_show_prints(
    command: Command, film: str
) -> None:
    render(command, "keep", film, "-o", "o.mkv", "--loop", *LOSSLESS)
    shown = command("--plugins-dir", "plugins", "show", "o.mkv").results
    printed = dict(line.split("\t") for line in shown.splitlines())["command"]
    assert " --loop " in printed
    before = Path("o.mkv").read_bytes()
    Path("o.mkv").unlink()
    render(command, *shlex.split(printed)[1:])
    assert Path("o.mkv").read_bytes() == before


def test_no_command_makes_a_faded_picture_alone(command: Command, film: str) -> None:
    render(command, "keep", film, "-o", "o/%d.png", "--loop", "--threads", "1")
    shown = (command("--plugins-dir", "plugins", "show", f"o/{n}.png") for n in (2, 3))
    faded, plain = (done.results for done in shown)
    assert "is_loop\tTrue" in faded
    assert "is_loop" not in plain
    assert "command\t" in plain
    assert "command\t" not in faded


def test_a_resumed_loop_has_the_same_bytes(command: Command, film: str) -> None:
    words = ("keep", film, "-o", "o/%d.png", "--loop", "--threads", "1")
    render(command, *words)
    before = {path.name: path.read_bytes() for path in Path("o").glob("*.png")}
    for number in (1, 4):
        Path(f"o/{number}.png").unlink()
    render(command, *words, "--resume")
    assert {path.name: path.read_bytes() for path in Path("o").glob("*.png")} == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("keep blank:8x8 -o o.png --loop", "--loop: only applies to films, and every input is a"),
        ("keep clip.mp4 -o o.png --frames 4 --loop", "--loop: only applies to films, and a single"),
        ("keep clip.mp4 -o o.mp4 --frames 1-3 --loop", "--loop: 3 frames are too few; give 4 or"),
        ("glow blank:8x8 -o o.mp4 --frames 3 --loop", "--loop: 3 frames are too few; give 4 or"),
    ],
)
def test_what_cannot_loop_is_refused(command: Command, words: str, message: str) -> None:
    done = command("--plugins-dir", "plugins", *words.split())
    assert done.code == 2
    assert message in done.errors


def test_a_film_that_loops_is_not_measured_and_the_reason_is_said(command: Command) -> None:
    render(command, "keep", "clip.mp4", "-o", "o.mkv", "--loop", *LOSSLESS)
    done = command("flicker", "clip.mp4", "o.mkv")
    assert done.code == 2
    assert "o.mkv: it loops, so its first frames are blends" in done.errors
    assert "render it without --loop" in done.errors
