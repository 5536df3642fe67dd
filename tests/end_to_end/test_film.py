"""A rendered film keeps its frames, times and sound, even if the job is killed."""

import random
import shutil
import signal
from fractions import Fraction
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pytest

from .conftest import QUICK, Command, Done, events_of, frames

pytestmark = pytest.mark.slow

COUNT = 40
"""Frames of the clip, at 25 per second."""

PLUGIN = '''
from pathlib import Path

from farm import Effect, Field, TaskParams, hookimpl


class Tint(Effect):
    """Adds noise, and fails at the frames given."""

    name = "tint"

    class Params(TaskParams):
        broken: tuple[int, ...] = Field((), description="Frames that break.")

    def render(self, image, context):
        if context.number in self.params.broken:
            raise ValueError("this frame is broken")
        noise = __import__("torch").rand(image.shape, generator=context.generator())
        for step in range(20):
            context.progress(step / 20)
            image = (image + 0.001 * noise).clamp(0, 1)
        return image


@hookimpl
def farm_tasks():
    return [Tint]
'''


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shots of moving stripes, 96x64, H.264 with AAC, 1.6 seconds."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(path, "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "12"})
        video.width, video.height, video.pix_fmt = 96, 64, "yuv420p"
        sound = container.add_stream("aac", rate=44100, layout="mono")
        columns = np.arange(96)
        for number in range(COUNT):
            row = 127 + 90 * np.sin((columns + 2 * number) / (5 if number < 22 else 11))
            picture = np.repeat(np.broadcast_to(row, (64, 96))[..., None], 3, axis=2)
            picture = np.clip(picture * [1, 0.8, 0.5 if number < 22 else 1], 0, 255)
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8))))
        tone = np.sin(np.arange(44100 * COUNT // 25) / 20).astype(np.float32)
        for start in range(0, len(tone), 1024):
            piece = av.AudioFrame.from_ndarray(tone[None, start : start + 1024], "fltp", "mono")
            piece.sample_rate, piece.pts = 44100, start
            container.mux(sound.encode(piece))
        container.mux(sound.encode(None))
        container.mux(video.encode(None))
    return path


@pytest.fixture
def tint(command: Command, clip: Path) -> Command:
    plugins = command.folder / "plugins"
    plugins.mkdir()
    (plugins / "tint.py").write_text(PLUGIN)
    shutil.copy(clip, command.folder / "clip.mp4")
    command.environment["FARM_PLUGINS_DIR"] = str(plugins)
    return command


def decoded(path: Path) -> list[str]:
    """Return a digest of each frame of a film."""
    with av.open(path) as container:
        return [
            sha256(frame.to_ndarray(format="rgb24").tobytes()).hexdigest()
            for frame in container.decode(video=0)
        ]


def times(path: Path) -> list[Fraction]:
    with av.open(path) as container:
        return [frame.pts * frame.time_base for frame in container.decode(video=0)]


def sound(path: Path) -> list[bytes]:
    with av.open(path) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def succeeded(done: Done) -> Done:
    assert done.returncode == 0, done.stderr
    return done


def test_a_film_keeps_its_frames_times_and_sound(tint: Command) -> None:
    succeeded(tint.run("tint", "clip.mp4", "-o", "out.mp4"))
    source, out = tint.folder / "clip.mp4", tint.folder / "out.mp4"
    assert times(out) == times(source)
    assert sound(out) == sound(source)
    assert not list(tint.folder.glob(".out*"))


def test_show_prints_the_record_of_a_film(tint: Command) -> None:
    succeeded(tint.run("tint", "clip.mp4", "-o", "out.mp4", "--frames", "3", "--seed", "5"))
    record = succeeded(tint.run("show", "out.mp4")).stdout
    assert "task\ttint\n" in record
    assert "plan.seed\t5\n" in record


@pytest.mark.parametrize("coherence", [pytest.param("none", marks=pytest.mark.proof), "flow"])
def test_a_film_killed_repeatedly_is_the_same_and_little_is_rendered_twice(
    tint: Command, coherence: str
) -> None:
    words = ("tint", "clip.mp4", "--threads", "1", "--coherence", coherence)
    succeeded(tint.run(*words, "-o", "whole.mp4"))
    chance, done = random.Random(7), list[str]()
    for number in range(5):
        resume = ("--resume",) if number else ()
        with tint.start(*words, "-o", "out.mp4", *resume) as job:
            for _ in range(chance.randrange(2, 9)):
                job.until(lambda event: event.get("state") in {"succeeded", "running"})
            job.process.kill()
            assert job.wait().returncode in {-signal.SIGKILL, 0}
        done += job.frames("succeeded")
    last = succeeded(tint.run(*words, "-o", "out.mp4", "--resume", "--json"))
    done += frames(events_of(last), "succeeded")
    assert decoded(tint.folder / "out.mp4") == decoded(tint.folder / "whole.mp4")
    again = len(done) - len(set(done))
    assert again <= 5, f"{again} of {len(done)} units were rendered twice"
    assert not list(tint.folder.glob(".out*"))


def with_silence(clip: Path) -> None:
    """Replace a film's sound by silence, and keep its pictures."""
    silent = clip.with_name("silent.mp4")
    with av.open(clip) as source, av.open(silent, "w") as out:
        video = out.add_stream_from_template(source.streams.video[0])
        track = out.add_stream("aac", rate=44100, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                out.mux(packet)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 44100), np.float32), "fltp", "mono")
        silence.sample_rate, silence.pts = 44100, 0
        out.mux([*track.encode(silence), *track.encode(None)])
    silent.replace(clip)


def test_a_finished_film_is_rendered_again_only_if_its_source_has_changed(tint: Command) -> None:
    words = ("tint", "clip.mp4", "-o", "out.mp4", "--threads", "1", "--frames", "6")
    succeeded(tint.run(*words))
    source, out = tint.folder / "clip.mp4", tint.folder / "out.mp4"
    before = out.read_bytes()
    again = events_of(succeeded(tint.run(*words, "--resume", "--json")))
    assert frames(again, "succeeded") == []
    assert "clip/film" in frames(again, "skipped")
    assert out.read_bytes() == before
    with_silence(source)
    again = events_of(succeeded(tint.run(*words, "--resume", "--json")))
    assert "clip/film" in frames(again, "succeeded")
    assert {*sound(out)} <= {*sound(source)}
    assert sound(out)


def test_a_failed_frame_is_listed_and_replaced_by_its_neighbour(tint: Command) -> None:
    done = tint.run("tint", "clip.mp4", "-o", "out.mp4", "--broken", "7", "--codec", "h264")
    assert done.returncode == 1
    assert "failed: clip/000008: plugin tint: ValueError: this frame is broken" in done.stderr
    out = tint.folder / "out.mp4"
    assert times(out) == times(tint.folder / "clip.mp4")
    succeeded(tint.run("tint", "clip.mp4", "-o", "ff.mkv", "--codec", "ffv1", "--frames", "7"))


def test_a_strict_film_is_not_written_if_a_frame_fails(tint: Command) -> None:
    done = tint.run("tint", "clip.mp4", "-o", "out.mp4", "--broken", "7", "--strict")
    assert done.returncode == 1
    assert not (tint.folder / "out.mp4").exists()
    assert "clip/part0001: depends on clip/000008, which failed" in done.stderr
    assert done.stdout.endswith(", 1 failed; no file was written\n")


def test_every_second_frame_of_a_range_becomes_a_lossless_film(tint: Command) -> None:
    succeeded(tint.run("tint", "clip.mp4", "-o", "o.mkv", "--codec", "ffv1", "--frames", "5-14x2"))
    written, source = times(tint.folder / "o.mkv"), times(tint.folder / "clip.mp4")
    assert written == [time - source[4] for time in source[4:14:2]]


def test_frames_are_written_as_numbered_pictures_and_read_back(tint: Command) -> None:
    succeeded(tint.run("tint", "clip.mp4", "-o", "seq/f_%03d.png", "--frames", "10"))
    names = sorted(path.name for path in (tint.folder / "seq").iterdir())
    assert names == [f"f_{number:03d}.png" for number in range(1, 11)]
    succeeded(tint.run("tint", "seq/f_%03d.png", "-o", "again.webm", "--rate", "10"))
    assert len(decoded(tint.folder / "again.webm")) == 10
    assert times(tint.folder / "again.webm")[-1] == Fraction(9, 10)


def test_a_coherent_film_is_the_same_on_one_worker_and_on_two(
    tint: Command, cluster: tuple[str, str]
) -> None:
    words = ("dream", "clip.mp4", "--coherence", "flow", "--frames", "24", *QUICK)
    succeeded(tint.run(*words, "-o", "one.mp4"))
    succeeded(tint.run(*words, "-o", "two.mp4", *cluster))
    assert decoded(tint.folder / "one.mp4") == decoded(tint.folder / "two.mp4")


def test_a_film_in_a_folder_stays_a_film(tint: Command) -> None:
    folder = tint.folder / "in"
    folder.mkdir()
    shutil.copy(tint.folder / "clip.mp4", folder)
    succeeded(tint.run("tint", "in", "-o", "out/", "--frames", "4"))
    assert [path.name for path in (tint.folder / "out").iterdir()] == ["clip.mp4"]


def test_a_killed_zoom_resumes_where_it_stopped(command: Command) -> None:
    words = ("zoom", "blank:64x48:#705030", "--frames", "6", *QUICK)
    succeeded(command.run(*words, "-o", "whole.mp4"))
    with command.start(*words, "-o", "out.mp4") as job:
        for _ in range(3):
            job.until(lambda event: event.get("state") == "succeeded")
        job.process.kill()
    resumed = succeeded(command.run(*words, "-o", "out.mp4", "--resume", "--json"))
    assert len(frames(events_of(resumed), "skipped")) >= 3
    assert decoded(command.folder / "out.mp4") == decoded(command.folder / "whole.mp4")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("empty.mp4", "-o", "out.mp4"), r"empty.mp4: the file is empty"),
        (("text.mp4", "-o", "out.mp4"), r"text.mp4: "),
        (("clip.mp4", "-o", "out.png"), r"clip is a film; give a folder, a film (.mp4, "),
        (("clip.mp4", "-o", "out.mp4", "--frames", "0"), "--frames: '0' contains no frames"),
        (
            ("clip.mp4", "-o", "out.mp4", "--frames", "50-60"),
            "starts at 50, but there are only 40 frames",
        ),
        (("clip.mp4", "-o", "out.mp4", "--codec", "vp6"), "vp6"),
        (
            ("blank:8x8", "-o", "out.png", "--frames", "3"),
            "--frames: only applies to films, and every input is a still",
        ),
    ],
)
def test_an_impossible_film_is_refused_in_one_line(
    tint: Command, words: tuple[str, ...], message: str
) -> None:
    (tint.folder / "empty.mp4").touch()
    (tint.folder / "text.mp4").write_text("no film at all" * 99)
    done = tint.run("tint", *words)
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    lines = [line for line in done.stderr.splitlines() if not line.startswith("reading ")]
    assert len(lines) == 1, done.stderr
