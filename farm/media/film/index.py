"""Reading a film once from its first frame to its last: its times, size, colours and notes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from statistics import median_low
from typing import Final

import av
import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import UInt8

from farm.errors import BadInput
from farm.media.film.matrices import MATRICES
from farm.media.film.pixels import colour_of, depth_of, pixels_of, turn
from farm.media.film.source import JUMP, Opened, Packets, decode, opened, refusals, tracks_of
from farm.media.frame import to_levels
from farm.model.film import Film

__all__ = ["read_film"]

ReportProgress = Callable[[float], None]
See = Callable[[UInt8[np.ndarray, "height width 3"]], None]

_SMALL: Final = 160
_UNRELIABLE: Final = frozenset({"gif", "apng"})
"""Codecs whose frames are built on all before them, though a demuxer may call each one a key."""

_MISSING: Final = Fraction(1, 2)
"""Seconds of its header's promise that a film may fall short of, unsaid."""


def read_film(url: str, report: ReportProgress = lambda _: None, see: See = lambda _: None) -> Film:
    """Decode a whole film and return what is known of it.

    Times are those of the container, which begin at its own start. Where frames have none, or
    some could not be decoded, the film can only be read from its beginning. tell: hears the
    fraction done. see: gets each frame in 8 bits, at most 160 pixels wide.

    Raises BadInput where it is no film or nothing of it can be decoded, StorageFailed where
    reading failed on the way.
    """
    with opened(url) as opening:
        reading = _Reading(opening, report, see)
        film = reading.run()
    if opening.failures:
        # How damage is mended may depend on the threads: count as who reads it later will.
        with opened(url, threads=1) as opening:
            film = _Reading(opening, report, see, passed=len(reading.times)).run()
    return film


@dataclass
class _Reading:
    """What one pass over a film finds.

    passed: frames that were seen before. times, decoded: when each frame is shown and when it is
    decoded, as the container says.
    """

    film: Opened
    report: ReportProgress
    see: See
    passed: int = 0
    times: list[int | None] = field(default_factory=list)
    decoded: list[int | None] = field(default_factory=list)
    last: VideoFrame | None = None
    first: VideoFrame | None = None
    has_sound: bool = False
    ended: Fraction = Fraction(0)

    def run(self) -> Film:
        """Decode all frames. Raises BadInput where there are none."""
        for frame in decode(self.film, self._packets()):
            if self.first is None:
                self.first = frame
            self.last = frame
            self.times.append(None if frame.pts is None else frame.pts - self.film.origin)
            self.decoded.append(frame.dts)
            if len(self.times) > self.passed:
                self.see(self._small(frame))
        if not self.times:
            raise BadInput(self.film.url, "no frame of it can be decoded")
        return self._result()

    def _packets(self) -> Packets:
        container = self.film.container
        streams = [self.film.stream, *container.streams.audio]
        for packet in container.demux(streams):
            if packet.pts is not None and packet.time_base:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                self.ended = max(self.ended, end)
            if packet.stream_index == self.film.stream.index:
                if packet.pos and container.size > 0:
                    self.report(min(packet.pos / container.size, 1.0))
                yield packet
            else:
                self.has_sound = self.has_sound or packet.size > 0

    def _small(self, frame: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        height, width = self.film.height, self.film.width
        if width > _SMALL:
            height, width = max(1, round(height * _SMALL / width)), _SMALL
        with refusals(self.film.url):
            small: np.ndarray = to_levels(pixels_of(frame, height, width), 8)
        return small

    def _result(self) -> Film:
        assert self.first
        assert self.last
        turned = turn(self.first) % 2 == 1
        height, width = self.film.height, self.film.width
        aspect = self.film.stream.sample_aspect_ratio or Fraction(1)
        clock = self.times
        if not _rises(clock) and _rises([time for time in self.decoded if time is not None]):
            # Some containers know no more, and their times are guesses.
            delay = (self.decoded[0] or 0) - (clock[0] or 0)
            clock = [None if time is None else time - delay for time in self.decoded]
        times = _rising(clock, round(JUMP / self.film.time_base))
        reliable = self.film.stream.codec_context.name not in _UNRELIABLE
        return Film(
            self.film.url,
            *((width, height) if turned else (height, width)),
            times,
            self._duration(times),
            self.film.time_base,
            times == tuple(self.times) and reliable and not self.film.failures,
            1 / aspect if turned else aspect,
            colour_of(self.first),
            depth_of(self.first),
            self.has_sound,
            notes=tuple(self._notes()),
        )

    def _duration(self, times: tuple[int, ...]) -> int:
        """Return how long the last frame is: what is left of the track, or as the frame says.

        Else as most are, or as the rate has it. A frame that is decoded out of order may say
        how long its decoding takes; a track that is cut short, what it was.
        """
        assert self.last
        stream = self.film.stream
        if stream.frames == len(times) and stream.duration:
            left = (stream.start_time or 0) - self.film.origin + stream.duration - times[-1]
            if left > 0:
                return left
        if self.last.duration:
            return self.last.duration
        if len(times) > 1:
            return _usual(times)
        rate = stream.guessed_rate or Fraction(25)
        return max(1, round(1 / rate / self.film.time_base))

    def _notes(self) -> Iterator[str]:
        assert self.first
        container = self.film.container
        if self.film.failures:
            yield f"damaged: {self.film.failures} packets or frames of it could not be decoded"
        promised = Fraction(container.duration or 0, av.time_base)
        there = self.ended - Fraction(container.start_time or 0, av.time_base)
        if promised - there > _MISSING:
            yield f"cut short: {float(there):.2f} s of {float(promised):.2f} s are there"
        if self.first.rotation % 90:
            yield f"turned by {self.first.rotation} degrees: only quarter turns are undone"
        if colour_of(self.first).matrix and self.first.colorspace not in {*MATRICES, 2}:
            yield f"colour matrix {self.first.colorspace} is not known: taken for a usual one"
        if self.first.interlaced_frame:
            yield "interlaced: the two fields of a frame are rendered as one picture"
        if self._has_alpha():
            yield "transparency is left out"
        others = len(tracks_of(container)) - 1
        for count, name in ((others, "picture"), (len(container.streams.subtitles), "subtitle")):
            if count:
                yield f"left out: {count} {name} track{'s' if count > 1 else ''}"

    def _has_alpha(self) -> bool:
        """Say whether the film is made to be seen through; a GIF only says what changes."""
        assert self.first
        stream = self.film.stream
        told = stream.metadata.get("alpha_mode") == "1"
        has_channel = any(component.is_alpha for component in self.first.format.components)
        return told or (has_channel and stream.codec_context.name not in _UNRELIABLE)


def _usual(times: tuple[int, ...]) -> int:
    return median_low(later - earlier for earlier, later in pairwise(times))


def _rises(clock: list[int | None]) -> bool:
    return None not in clock and all(a < b for a, b in pairwise(clock))  # type: ignore[operator]


def _rising(times: list[int | None], jump: int) -> tuple[int, ...]:
    """Return times from 0 on that rise strictly; those that do already stay as they are.

    jump: by so much back or more the clock was set anew, and what follows goes on from there.
    """
    known = [time for time in times if time is not None]
    steps = [b - a for a, b in pairwise(known) if b > a]
    step = median_low(steps) if steps else 1
    rising: list[int] = []
    offset, last = 0, -step
    for time in times:
        if time is not None and last - (time + offset) >= jump:
            offset = last + step - time
        last = max(last + 1, 0, last + step if time is None else time + offset)
        rising.append(last)
    return tuple(rising)
