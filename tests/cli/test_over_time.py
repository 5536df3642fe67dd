"""Parameters over time by the command: what a film shows, what is refused, and what a record says of it."""

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farm.cli import group
from farm.media import read_record, read_still
from farm.model.job import JobSpec

from ..clips import Clip  # noqa: TID252 - shared between rooms
from .conftest import Command

EXPOSURE = '''
from farm import BadParameter, Effect, Field, OverTime, TimedParams, hookimpl

class Exposure(Effect):
    """Expose the picture anew."""
    name = "exposure"
    class Params(TimedParams):
        light: OverTime[float] = Field(1.0, ge=0, le=2, description="1 keeps the picture.")
    def check(self, context):
        if self.params.light == 2:
            raise BadParameter("light", "is dazzling")
    def render(self, image, context):
        return image * self.params.light

@hookimpl
def farm_tasks():
    return [Exposure]
'''
RISING = ("--at", "0", "light=0", "--at", "0.2", "light=1")
BY_FRAME = ("--at", "f1", "light=0", "--at", "f6", "light=1")
DREAM = ("--iterations", "2", "--octaves", "1", "--threads", "1", "--precision", "float64")


@pytest.fixture
def film(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A white film of 8 frames at 25 a second, and the effect that darkens it."""
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "exposure.py").write_text(EXPOSURE)
    monkeypatch.setenv("FARM_PLUGINS_DIR", str(tmp_path / "plugins"))
    white = np.ones((64, 96, 3), np.float32)
    return Clip(times=range(8), draw=lambda _: white).write(tmp_path / "clip.mp4").name


def exposure(command: Command, *words: object) -> None:
    done = command("--plugins-dir", "plugins", "exposure", *words, "--threads", "1")
    assert done.code == 0, done.errors


def light(file: Path | str) -> float:
    return float(read_still(str(file)).pixels.mean())


@pytest.mark.parametrize("at", [RISING, BY_FRAME])
def test_a_film_changes_from_frame_to_frame(
    command: Command, film: str, at: tuple[str, ...]
) -> None:
    exposure(command, film, "-o", "out/%d.png", *at)
    found = [light(f"out/{number}.png") for number in range(1, 9)]
    assert found == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1, 1, 1], abs=0.02)


def test_a_resumed_film_has_the_same_bytes(command: Command, film: str) -> None:
    exposure(command, film, "-o", "out/%d.png", *RISING)
    before = {path.name: path.read_bytes() for path in Path("out").iterdir()}
    for number in (2, 5):
        Path(f"out/{number}.png").unlink()
    exposure(command, film, "-o", "out/%d.png", *RISING, "--resume")
    assert {path.name: path.read_bytes() for path in Path("out").iterdir()} == before


def test_another_schedule_makes_another_job() -> None:
    jobs = [
        JobSpec(task="exposure", params={"at": [at]}, inputs=("a.mp4",), output="b.mp4")
        for at in ("0 light=0", "0 light=1")
    ]
    assert jobs[0].key != jobs[1].key


@pytest.mark.parametrize("at", [RISING, BY_FRAME])
def test_a_part_of_a_film_has_the_pixels_of_the_whole(
    command: Command, film: str, at: tuple[str, ...]
) -> None:
    exposure(command, film, "-o", "out/%d.png", *at)
    exposure(command, film, "-o", "part/%d.png", "--frames", "3-5", *at)
    exposure(command, film, "-o", "four.png", "--frames", "4", *at)
    assert Path("four.png").read_bytes() == Path("out/4.png").read_bytes()
    for number in (3, 4, 5):
        assert Path(f"part/{number}.png").read_bytes() == Path(f"out/{number}.png").read_bytes()
    exposure(command, "out/%d.png", "-o", "again/%d.png", "--rate", "25", *at)
    exposure(command, "out/%d.png", "-o", "some/%d.png", "--rate", "25", "--frames", "3-5", *at)
    assert Path("some/4.png").read_bytes() == Path("again/4.png").read_bytes()


def test_the_record_has_the_schedule_and_like_takes_it(command: Command, film: str) -> None:
    exposure(command, film, "-o", "a.mkv", "--codec", "ffv1", *RISING)
    shown = command("--plugins-dir", "plugins", "show", "a.mkv").results
    printed = dict(line.split("\t") for line in shown.splitlines())["command"]
    before = Path("a.mkv").read_bytes()
    Path("a.mkv").unlink()
    _, *words = shlex.split(printed)
    done = command("--plugins-dir", "plugins", *words)
    assert done.code == 0, done.errors
    assert Path("a.mkv").read_bytes() == before
    exposure(command, film, "-o", "like/%d.png", "--like", "a.mkv")
    assert light("like/3.png") == pytest.approx(0.4, abs=0.02)
    record = read_record("like/3.png")
    assert record is not None
    assert record["params"]["at"] == ["0 light=0", "0.2 light=1"]


def test_a_still_takes_no_schedule_from_a_film(command: Command, film: str) -> None:
    Image.new("RGB", (8, 8), "white").save("photo.png")
    exposure(command, film, "-o", "a.mkv", "--codec", "ffv1", *RISING, "--seed", "7")
    words = ("--plugins-dir", "plugins", "exposure", "photo.png", "-o", "o.png", "--like", "a.mkv")
    done = command(*words)
    assert done.code == 0, done.errors
    assert "a.mkv: its --at is not taken: it only applies to films" in done.errors
    record = read_record("o.png")
    assert record is not None
    assert (record["params"]["at"], record["plan"]["seed"]) == ([], 7)
    done = command(*words, "--overwrite", *RISING)
    assert (done.code, "--at: only applies to films" in done.errors) == (2, True)


@pytest.mark.parametrize("at", [RISING, BY_FRAME])
def test_the_command_of_a_frame_makes_that_frame(
    command: Command, film: str, at: tuple[str, ...]
) -> None:
    exposure(command, film, "-o", "out/%d.png", *at)
    before = Path("out/3.png").read_bytes()
    shown = command("--plugins-dir", "plugins", "show", "out/3.png").results
    printed = dict(line.split("\t") for line in shown.splitlines())["command"]
    done = command("--plugins-dir", "plugins", *shlex.split(printed)[1:])
    assert done.code == 0, done.errors
    assert Path("3.png").read_bytes() == before


def test_no_command_makes_a_still_beside_a_film_alone(command: Command, film: str) -> None:
    Path("both").mkdir()
    Path(film).rename(f"both/{film}")
    Image.new("RGB", (96, 64), "white").save("both/still.png")
    exposure(command, "both/", "-o", "out/", *RISING)
    assert light("out/still.png") == 0
    assert "command\t" not in command("--plugins-dir", "plugins", "show", "out/still.png").results


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("blank:8x8 -o o.png --at 4 light=1", "--at: only applies to films, and every input is a"),
        ("blank:8x8 -o o.png --at 4 light=2", "--at: only applies to films, and every input is a"),
        ("clip.mp4 -o o.mp4 --at 4 light=2 --at 5 light=1", "--light: is dazzling"),
        ("clip.mp4 -o o.mp4 --at 4 light=3", "--at: at 4: --light should be less than or equal to"),
        ("clip.mp4 -o o.mp4 --at 4 lihgt=1", "--at: there is no lihgt, did you mean light?"),
        ("clip.mp4 -o o.mp4 --at 4", "--at: give TIME NAME=VALUE"),
        ("blank:8x8 -o o.mp4 --preview --at 4 light=1", "--preview: shows pictures by themselves"),
    ],
)
def test_what_cannot_change_is_refused_before_anything_is_rendered(
    command: Command, film: str, words: str, message: str
) -> None:
    done = command("--plugins-dir", "plugins", "exposure", *words.split())
    assert done.code == 2
    assert message in done.errors
    assert not list(Path().glob("o.*"))
    assert film


ONE_EACH = "no such file or folder; of several names, each is a NAME=VALUE:"
WITH_COMMA = "no such file or folder; a pair of numbers has a comma and no space:"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("dream --at 0 layer=conv2 conv3", f"conv3: {ONE_EACH} layer=conv2 layer=conv3"),
        ("dream --at=0 layer=conv2, conv3", f"conv3: {ONE_EACH} layer=conv2 layer=conv3"),
        ("style --at 0 mix=a.jpg b.jpg", f"b.jpg: {ONE_EACH} mix=a.jpg mix=b.jpg"),
        ("dream --at f1 neuron=0.5 0.25", f"0.25: {WITH_COMMA} neuron=0.5,0.25"),
        ("zoom --at f1 shift=2 -1", f"-1: {WITH_COMMA} shift=2,-1"),
        ("dream --at 0 step=2 conv3", "conv3: no such file or folder; check the name"),
        ("dream --at 0 layer=conv2 clpi.mp4", "clpi.mp4: no such file or folder; check the name"),
        ("dream --at 0 layer=conv2 clpi_%d.png", "clpi_%d.png: this sequence contains no pictures"),
        ("dream --at 0 layer=conv2 conv1", "unknown layer of starter 'conv9'"),
    ],
)
def test_a_missing_input_that_may_be_a_value_of_a_keyframe_is_refused_with_its_form(
    command: Command, film: str, words: str, message: str
) -> None:
    Path(film).rename("conv1")
    done = command(*words.split(), "-o", "o.mp4", "--at", "4", "layer=conv9")
    assert done.code == 2
    assert message in done.errors


def test_layers_with_a_comma_are_refused_with_a_form_that_works(
    command: Command, film: str
) -> None:
    words = ("dream", film, "-o", "o.mp4", "--dry-run")
    done = command(*words, "--layer", "conv2,conv3")
    says = "--layer: give the names of several layers one by one, not 'conv2,conv3'"
    assert (done.code, says in done.errors) == (2, True)
    done = command(*words, "--at", "0", "layer=conv2=0.5,conv3")
    assert (done.code, "--at: at 0: of several names, each is a" in done.errors) == (2, True)
    form = done.errors.partition("NAME=VALUE: ")[2].partition(";")[0]
    assert form == "layer=conv2=0.5 layer=conv3"
    done = command(*words, "--at", "0", *form.split())
    assert done.code == 0, done.errors


@pytest.mark.parametrize(
    "words",
    [
        ("2 o'clock.jpg", "-o", "o.png"),
        ("clip.mp4", "-o", "3 o'clock.mp4", "--layer", "conv9"),
        ("-o", "o.mp4", "--at", "0 layer='conv2", "nowhere"),
    ],
)
def test_a_quote_that_is_not_closed_is_no_error_of_the_farm(
    command: Command, film: str, words: Sequence[str]
) -> None:
    done = command("dream", *words)
    assert done.code == 2
    assert done.errors.count("\n") == 1
    assert film


def test_a_shell_completes_a_keyframe_that_is_not_right_yet(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("_FARM_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "farm dream --at 0 layer=conv2 conv3 --lay")
    monkeypatch.setenv("COMP_CWORD", "6")
    with pytest.raises(SystemExit):
        group.main(prog_name="farm")
    assert "--layer" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "note"),
    [
        ("clip.mp4 -o o.mp4 --at 0 light=0 --at 500 light=1", "0.32 s: what `at` says of 500 is"),
        (
            "clip.mp4 -o out/%d.png --at f9 light=0 --at f10 light=1",
            "8 frames: what `at` says of f9, f10 is",
        ),
        ("clip.mp4 -o o.png --frames 2 --at 500 light=1", "0.32 s: what `at` says of 500 is"),
        ("blank:8x8 -o o.mp4 --rate 2 --at 0.6 light=1", "0.5 s: what `at` says of 0.6 is"),
        ("clip.mp4 -o o.mp4 --at 0.32 light=0", ""),
        ("clip.mp4 -o o.mp4 --frames 1-8x2 --at f8 light=0", ""),
        ("clip.mp4 -o o.png --frames 2 --at f8 light=0", ""),
    ],
)
def test_a_keyframe_after_the_end_of_a_film_is_said_once(
    command: Command, film: str, words: str, note: str
) -> None:
    done = command("--plugins-dir", "plugins", "exposure", *words.split(), "--dry-run")
    assert done.code == 0, done.errors
    assert done.errors.count("is not reached") == bool(note)
    assert f"it ends after {note}" in done.errors or not note
    assert film


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (
            "clip.mp4 -o o.mp4 --frames 3-5 --at 0.1 light=0 --at 0.2 light=1 --at 0.3 light=0",
            "`frames` 3-5 ends after 0.2 s of it: what `at` says of 0.3 is not reached",
        ),
        (
            "clip.mp4 -o o.mp4 --frames 3-5 --at f1 light=0 --at f5 light=1 --at f6 light=0",
            "`frames` 3-5 ends after 5 frames of it: what `at` says of f6 is not reached",
        ),
        (
            "many/%d.png -o o.mp4 --rate 10 --frames 1-2 --at 0.2 light=1 --at 0.3 light=0",
            "`frames` 1-2 ends after 0.2 s of it: what `at` says of 0.3 is not reached",
        ),
    ],
)
def test_a_keyframe_after_the_chosen_frames_is_said_once(
    command: Command, film: str, words: str, note: str
) -> None:
    Path("many").mkdir()
    for number in range(1, 5):
        Image.new("RGB", (8, 8)).save(f"many/{number}.png")
    done = command("--plugins-dir", "plugins", "exposure", *words.split(), "--dry-run")
    assert done.code == 0, done.errors
    assert done.errors.count("is not reached") == 1
    assert note in done.errors
    assert film


def test_the_help_lists_what_can_change(command: Command) -> None:
    shown = " ".join(command("zoom", "--help").results.split())
    assert "These can change: layer, channel, neuron, class, iterations, scale, step" in shown


@pytest.mark.slow
def test_tiles_dream_the_same_film(command: Command, tmp_path: Path) -> None:
    film = Clip(times=range(4)).write(tmp_path / "scene.mp4").name
    at = ("--at", "0", "layer=conv3", "--at", "0.12", "layer=inception3b", "step=3")
    for tile, output in (("none", "whole"), ("48", "tiles")):
        words = ("-o", f"{output}/%d.png", "--tile", tile, *at, *DREAM)
        done = command("dream", film, *words)
        assert done.code == 0, done.errors
    for number in (1, 3):
        whole, tiles = (np.asarray(Image.open(f"{o}/{number}.png")) for o in ("whole", "tiles"))
        assert np.abs(whole.astype(int) - tiles).max() <= 1
    assert light("whole/1.png") != light("whole/4.png")


@pytest.mark.slow
def test_an_unknown_layer_of_a_keyframe_is_refused_before_anything_is_rendered(
    command: Command, film: str
) -> None:
    done = command("dream", film, "-o", "o.mp4", "--at", "4", "layer=inception9")
    assert done.code == 2
    assert "unknown layer of starter 'inception9'" in done.errors
