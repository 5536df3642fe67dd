"""Reads a film once from the first frame to the last: times, size, colours, and notes on damage."""

from collections.abc import Callable, Iterator, Sequence
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
from farm.media.film.colour_matrices import MATRICES
from farm.media.film.conversion import colour_of, depth_of, pixels_of, quarter_turns
from farm.media.film.decoding import (
    CLOCK_RESET,
    OpenFilm,
    Packets,
    decode,
    open_film,
    translated_errors,
    video_tracks,
)
from farm.media.frame import to_levels
from farm.model.film import Film

__all__ = ["read_film"]

ReportFraction = Callable[[float], None]
OnFrame = Callable[[UInt8[np.ndarray, "height width 3"]], None]

_SMALL_WIDTH: Final = 160
_NO_KEY_FRAMES: Final = frozenset({"gif", "apng"})
"""Codecs whose frames need all earlier frames, although a demuxer may mark each as a key frame."""

_HOLE: Final = 1.8
"""Typical steps between frames; a step of at least this many is a hole."""

_STEADY: Final = 1.3
"""Typical steps; in a film with a steady rate, no step but a hole is longer."""

_MAX_HOLES: Final = 0.05
"""Largest share of holes among all steps; with more, the film has no steady rate."""

_MIN_STEPS: Final = 12

MOST_FRAMES: Final = 10_000_000
"""Frames of a film: four days at 25 a second."""

_MAX_SHORTFALL: Final = Fraction(1, 2)
"""Seconds that a film may be shorter than its header states, without a note."""


def read_film(
    url: str,
    report: ReportFraction = lambda _: None,
    on_frame: OnFrame = lambda _: None,
) -> Film:
    """Decode a whole film and return its description.

    Times are the container's, counted from its start. If frames have no times or cannot be
    decoded, the film can only be read from its start. report: receives the fraction done.
    on_frame: receives each frame in 8 bits, at most 160 pixels wide.

    Raises BadInput if the file is not a film or no frame can be decoded, StorageFailed if the
    storage fails.
    """
    with open_film(url) as opened:
        scan = _Scan(opened, report, on_frame)
        film = scan.run()
    if opened.failures:
        # How a decoder repairs damage depends on its threads: count with one, as the reader does.
        with open_film(url, threads=1) as opened:
            film = _Scan(opened, report, on_frame, reported=len(scan.times)).run()
    return film


@dataclass
class _Scan:
    """The findings of one pass over a film.

    reported: frames that an earlier pass gave to on_frame. times, decoding_times: of each frame,
    as in the container. sizes: stored height and width, by the first frame of each run of one size.
    end: of the last packet, in seconds.
    """

    film: OpenFilm
    report: ReportFraction
    on_frame: OnFrame
    reported: int = 0
    times: list[int | None] = field(default_factory=list)
    decoding_times: list[int | None] = field(default_factory=list)
    sizes: dict[int, tuple[int, int]] = field(default_factory=dict)
    last: VideoFrame | None = None
    first: VideoFrame | None = None
    has_sound: bool = False
    end: Fraction = Fraction(0)

    def run(self) -> Film:
        """Decode all frames. Raises BadInput if there are none."""
        for frame in decode(self.film, self._packets()):
            if self.first is None:
                self.first = frame
            if self.last is None or _size(frame) != _size(self.last):
                self.sizes[len(self.times)] = _size(frame)
            self.last = frame
            if len(self.times) >= MOST_FRAMES:
                raise BadInput(self.film.url, f"it has more than {MOST_FRAMES:,} frames; divide it")
            self.times.append(None if frame.pts is None else frame.pts - self.film.origin)
            self.decoding_times.append(frame.dts)
            if len(self.times) > self.reported:
                self.on_frame(self._small(frame))
        if not self.times:
            raise BadInput(self.film.url, "none of its frames can be decoded")
        return self._result()

    def _packets(self) -> Packets:
        container = self.film.container
        streams = [self.film.stream, *container.streams.audio]
        for packet in container.demux(streams):
            if packet.pts is not None and packet.time_base:
                end = (packet.pts + (packet.duration or 0)) * packet.time_base
                self.end = max(self.end, end)
            if packet.stream_index == self.film.stream.index:
                if packet.pos and container.size > 0:
                    self.report(min(packet.pos / container.size, 1.0))
                yield packet
            else:
                self.has_sound = self.has_sound or packet.size > 0

    def _small(self, frame: VideoFrame) -> UInt8[np.ndarray, "height width 3"]:
        height, width = self.film.height, self.film.width
        if width > _SMALL_WIDTH:
            height, width = max(1, round(height * _SMALL_WIDTH / width)), _SMALL_WIDTH
        with translated_errors(self.film.url):
            small: np.ndarray = to_levels(pixels_of(frame, height, width), 8)
        return small

    def _result(self) -> Film:
        assert self.first
        is_on_its_side = quarter_turns(self.first) % 2 == 1
        height, width = self.film.height, self.film.width
        aspect = self.film.stream.sample_aspect_ratio or Fraction(1)
        times = _increasing(self._clock(), round(CLOCK_RESET / self.film.time_base))
        return Film(
            self.film.url,
            *((width, height) if is_on_its_side else (height, width)),
            times,
            self._last_duration(times),
            self.film.time_base,
            self._is_seekable(times),
            1 / aspect if is_on_its_side else aspect,
            colour_of(self.first),
            depth_of(self.first),
            self.has_sound,
            notes=tuple(self._notes(times)),
        )

    def _clock(self) -> list[int | None]:
        """Return the frames' times, or decoding times if only these increase."""
        decoding_times = [time for time in self.decoding_times if time is not None]
        if _is_increasing(self.times) or not _is_increasing(decoding_times):
            return self.times
        # Some containers store only decoding times, and libav's other times are guesses.
        delay = (self.decoding_times[0] or 0) - (self.times[0] or 0)
        return [None if time is None else time - delay for time in self.decoding_times]

    def _is_seekable(self, times: tuple[int, ...]) -> bool:
        return times == tuple(self.times) and not self._is_animation and not self.film.failures

    @property
    def _is_animation(self) -> bool:
        return self.film.stream.codec_context.name in _NO_KEY_FRAMES

    def _last_duration(self, times: tuple[int, ...]) -> int:
        """Return the duration of the last frame: the rest of the track, or the frame's own.

        Otherwise the median duration, or that of the frame rate. A frame that is decoded out of
        order may state the time until the next decoding, and a truncated track its full length.
        """
        assert self.last
        stream = self.film.stream
        if stream.frames == len(times) and stream.duration:
            rest = (stream.start_time or 0) - self.film.origin + stream.duration - times[-1]
            if rest > 0:
                return rest
        if self.last.duration:
            return self.last.duration
        if len(times) > 1:
            return median_low(later - earlier for earlier, later in pairwise(times))
        rate = stream.guessed_rate or Fraction(25)
        return max(1, round(1 / rate / self.film.time_base))

    def _notes(self, times: Sequence[int]) -> Iterator[str]:
        """Yield what is damaged, and what a rendered film leaves out or changes."""
        yield from self._notes_on_damage()
        yield from self._notes_on_holes(times)
        yield from self._notes_on_sizes(times)
        yield from self._notes_on_pictures()
        others = len(video_tracks(self.film.container)) - 1
        if others:
            yield f"left out: {others} other video track{'s' if others > 1 else ''}"

    def _notes_on_holes(self, times: Sequence[int]) -> Iterator[str]:
        """Yield a note if a steady film has a few steps in time that are far longer than the rest."""
        steps = [after - before for before, after in pairwise(times)]
        if len(steps) < _MIN_STEPS or self._is_animation:
            return
        typical = median_low(steps)
        long = [index for index, step in enumerate(steps) if step > _STEADY * typical]
        holes = [index for index in long if steps[index] >= _HOLE * typical]
        if holes and holes == long and len(holes) <= max(1, _MAX_HOLES * len(steps)):
            unit, first = self.film.time_base, holes[0]
            missing = sum(steps[index] - typical for index in holes)
            where = f"the first after frame {first + 1}, at {float(times[first] * unit):.2f} s"
            what = (
                "a stretch of it has" if len(holes) == 1 else f"{len(holes)} stretches of it have"
            )
            lost = f"{float(missing * unit):.2f} s in all, {where}"
            yield f"{what} no frames ({lost}): the frame before is shown for longer"

    def _notes_on_sizes(self, times: Sequence[int]) -> Iterator[str]:
        """Yield a note if frames have another size than the film."""
        height, width = self.film.height, self.film.width
        for first, size in self.sizes.items():
            if size != (height, width):
                seconds = float(times[first] * self.film.time_base)
                change = (
                    f"from frame {first + 1}, at {seconds:.2f} s, it is {size[1]}x{size[0]} pixels"
                )
                yield f"its size changes: {change}, and is scaled to {width}x{height}"
                return

    def _notes_on_damage(self) -> Iterator[str]:
        container = self.film.container
        if self.film.failures:
            count = self.film.failures
            what = "packet or frame" if count == 1 else "packets or frames"
            yield f"damaged: {count} {what} could not be decoded"
        stated = Fraction(container.duration or 0, av.time_base)
        present = self.end - Fraction(container.start_time or 0, av.time_base)
        if stated - present > _MAX_SHORTFALL:
            yield f"cut short: only {float(present):.2f} s of {float(stated):.2f} s are in the file"

    def _notes_on_pictures(self) -> Iterator[str]:
        assert self.first
        if self.first.rotation % 90:
            yield f"rotated by {self.first.rotation} degrees: only quarter turns are corrected"
        if colour_of(self.first).matrix and self.first.colorspace not in {*MATRICES, 2}:
            matrix = self.first.colorspace
            yield f"colour matrix {matrix} is not supported: the default for its size is used"
        if self.first.interlaced_frame:
            yield "interlaced: both fields of a frame are rendered as one picture"
        if self._has_alpha():
            yield "transparency is left out"

    def _has_alpha(self) -> bool:
        """Return whether the film is transparent; in a GIF, alpha only marks what is unchanged."""
        assert self.first
        stream = self.film.stream
        is_tagged = stream.metadata.get("alpha_mode") == "1"
        has_channel = any(component.is_alpha for component in self.first.format.components)
        return is_tagged or (has_channel and stream.codec_context.name not in _NO_KEY_FRAMES)


def _size(frame: VideoFrame) -> tuple[int, int]:
    return frame.height, frame.width


def _is_increasing(times: list[int | None] | list[int]) -> bool:
    return None not in times and all(a < b for a, b in pairwise(times))  # type: ignore[operator]


def _increasing(times: list[int | None], reset: int) -> tuple[int, ...]:
    """Return strictly increasing times from 0 on; times that already are stay unchanged.

    reset: smallest step back that means that the clock was reset; later times then continue from
    the last one.
    """
    known = [time for time in times if time is not None]
    steps = [b - a for a, b in pairwise(known) if b > a]
    step = median_low(steps) if steps else 1
    increasing: list[int] = []
    offset, last = 0, -step
    for time in times:
        if time is not None and last - (time + offset) >= reset:
            offset = last + step - time
        last = max(last + 1, 0, last + step if time is None else time + offset)
        increasing.append(last)
    return tuple(increasing)
