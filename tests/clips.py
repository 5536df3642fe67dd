"""Fixtures that write small films with libav only, and frames to encode."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.audio.frame import AudioFrame
from av.video.frame import VideoFrame
from PIL import Image

from farm.media import Frame

LONG_GOP = {"g": "250", "bf": "3", "preset": "veryfast"}


def scene(index: int, height: int = 64, width: int = 96) -> np.ndarray:
    """Return a smooth picture, 0..1, that differs from its neighbours."""
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    red = np.sin((x + 5 * index) / 17) * np.cos(y / 23)
    green = np.cos((y - 4 * index) / 19)
    blue = np.sin((x + y + 3 * index) / 29)
    return (0.5 + 0.45 * np.dstack((red, green, blue))).astype(np.float32)


@dataclass
class Clip:
    """A film to write. times: of the frames, in units of unit seconds; the last frame lasts 1."""

    codec: str = "libx264"
    pixels: str = "yuv420p"
    height: int = 64
    width: int = 96
    times: Sequence[int] = tuple(range(30))
    unit: Fraction = Fraction(1, 25)
    options: dict[str, str] | None = None
    rotation: int = 0
    aspect: Fraction = Fraction(1)
    sound: str = ""
    sound_delay: float = 0.0
    sound_rate: int = 48000
    draw: Callable[[int], np.ndarray] | None = None
    tags: tuple[int, int, int, int] = (2, 2, 2, 0)
    title: str = ""

    def write(self, path: Path) -> Path:
        with av.open(str(path), "w") as out:
            if self.title:
                out.metadata["title"] = self.title
            stream = self._add_video(out)
            sound = out.add_stream(self.sound, rate=self.sound_rate) if self.sound else None
            for index, time in enumerate(self.times):
                out.mux(stream.encode(self._frame(index, time)))
            out.mux(stream.encode(None))
            if sound is not None:
                seconds = float(self.times[-1] * self.unit) + 0.1
                self._write_sound(out, sound, round(seconds * self.sound_rate))
        return path

    def _add_video(self, out: Any) -> Any:
        stream = out.add_stream(self.codec, rate=25)
        context = stream.codec_context
        context.options = self.options or {}
        context.width, context.height, context.pix_fmt = self.width, self.height, self.pixels
        context.time_base = stream.time_base = self.unit
        context.sample_aspect_ratio = self.aspect
        names = ("color_primaries", "color_trc", "colorspace", "color_range")
        for name, code in zip(names, self.tags, strict=True):
            setattr(context, name, code)
        if self.rotation:
            stream.set_display_rotation(self.rotation)
        return stream

    def _frame(self, index: int, time: int) -> VideoFrame:
        picture = (self.draw or (lambda i: scene(i, self.height, self.width)))(index)
        levels = np.rint(picture * 255).astype(np.uint8)
        frame = VideoFrame.from_ndarray(levels, "rgb24").reformat(format=self.pixels)
        frame.pts, frame.time_base = time, self.unit
        following = (*self.times[1:], self.times[-1] + 1)
        frame.duration = following[index] - time
        return frame

    def _write_sound(self, out: Any, stream: Any, count: int) -> None:
        wave = np.sin(np.arange(count) / 20).astype(np.float32)
        for start in range(0, count - 1024, 1024):
            piece = np.stack([wave[start : start + 1024]] * 2)
            frame = AudioFrame.from_ndarray(piece, "fltp", "stereo")
            frame.sample_rate = self.sound_rate
            frame.time_base = Fraction(1, self.sound_rate)
            frame.pts = start + round(self.sound_delay * self.sound_rate)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))


def _png(side: int) -> bytes:
    file = BytesIO()
    Image.new("1", (side, side)).save(file, "PNG")
    return file.getvalue()


def write_pngs(path: Path, stated: tuple[int, int], sides: Sequence[int]) -> Path:
    """Write a film of PNG pictures whose header states another size."""
    with av.open(str(path), "w") as out:
        stream = out.add_mux_stream("png", width=stated[0], height=stated[1])
        stream.time_base = Fraction(1, 25)
        for time, side in enumerate(sides):
            packet = av.Packet(_png(side))
            packet.stream, packet.time_base, packet.is_keyframe = stream, Fraction(1, 25), True
            packet.pts = packet.dts = time
            packet.duration = 1
            out.mux(packet)
    return path


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., str]:
    """Write a film and return its path: ``clip("a.mp4", codec="libx265", ...)``."""

    def write(name: str, **options: Any) -> str:
        return str(Clip(**options).write(tmp_path / name))

    return write


@pytest.fixture
def pictures() -> Callable[..., list[tuple[int, int, Frame]]]:
    """Return frames to encode: ``pictures(times, last)``, with the last frame's duration."""

    def draw(
        times: Sequence[int], last: int = 1, depth: int = 8, height: int = 64, width: int = 96
    ) -> list[tuple[int, int, Frame]]:
        steps = [b - a for a, b in pairwise((*times, times[-1] + last))]
        return [
            (time, step, Frame(scene(index, height, width), depth=depth))
            for index, (time, step) in enumerate(zip(times, steps, strict=True))
        ]

    return draw


@dataclass
class VideoTrack:
    """What libav reads from a file's video track."""

    frames: list[VideoFrame]
    times: list[Fraction]
    end: Fraction


@pytest.fixture
def look() -> Callable[[str], VideoTrack]:
    """Decode a film with libav only."""

    def decode(url: str) -> VideoTrack:
        with av.open(url) as container:
            stream = container.streams.video[0]
            frames = list(container.decode(stream))
            times = [frame.pts * frame.time_base for frame in frames]
            end = times[-1] + frames[-1].duration * frames[-1].time_base
            if stream.duration:
                end = (stream.start_time + stream.duration) * stream.time_base
            return VideoTrack(frames, times, end)

    return decode


@pytest.fixture
def sound_of() -> Callable[[str], list[tuple[Fraction, bytes]]]:
    """Return the packets of a film's first sound track, with their times."""

    def read(url: str) -> list[tuple[Fraction, bytes]]:
        with av.open(url) as container:
            return [
                (packet.pts * packet.time_base, bytes(packet))
                for packet in container.demux(container.streams.audio[0])
                if packet.size
            ]

    return read
