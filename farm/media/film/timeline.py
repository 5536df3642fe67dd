"""The times of a whole film, from its parts: when each frame is shown, and when it is decoded."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from farm.errors import BadInput
from farm.media.film.decoding import open_container

__all__ = ["Timeline", "frames_of", "packets_of", "read_timeline"]


@dataclass(frozen=True)
class Timeline:
    """When frames are shown, increasing, and when the last one ends, in units of ``unit`` seconds.

    delay: the most frames that any part decodes before its first one is shown. lead: time from the
    start of decoding until the first frame is shown.
    """

    unit: Fraction
    times: Sequence[int]
    end: int
    delay: int
    lead: int

    def duration(self, time: int) -> int:
        """Return how long the frame at this time is shown."""
        following = bisect_right(self.times, time)
        return (self.times[following] if following < len(self.times) else self.end) - time

    def rate(self) -> Fraction:
        """Return the average number of frames per second."""
        seconds = (self.end - self.times[0]) * self.unit
        return (len(self.times) / seconds).limit_denominator(10**6)

    def decoding_time(self, number: int) -> int:
        """Return when the frame with this number in decoding order, from 0, is decoded.

        Strictly increasing, and never after the frame is shown.
        """
        if number >= self.delay:
            return self.times[number - self.delay]
        return self.times[0] - self.lead * (self.delay - number) // self.delay

    def last_duration(self) -> int:
        """Return the duration of the last decoded frame that gives the film its exact length.

        MP4 adds up the times from each decoding to the next.
        """
        return self.end - self.decoding_time(len(self.times) - 1) - self.lead


def read_timeline(parts: Sequence[str], unit: Fraction) -> Timeline:
    """Read the times of all frames. Raises BadInput if parts are encoded differently."""
    times, end, delay = array("q"), 0, 0
    first, shown = None, [0]
    for url in parts:
        with open_container(url) as part:
            encoding = _encoding(part)
            if encoding != (first := first or encoding):
                reason = "it is encoded differently from the first part; remove all parts and start again"
                raise BadInput(url, reason)
            shown, end = _times(part, unit)
        ranks = {time: rank for rank, time in enumerate(sorted(shown))}
        delay = max(delay, *(number - ranks[time] for number, time in enumerate(shown)))
        times.extend(sorted(shown))
    return Timeline(unit, times, end, delay, _lead(times, end, delay, shown[-1]))


def _lead(times: Sequence[int], end: int, delay: int, last: int) -> int:
    """Return the time to decode ahead: that of delay frames, or the nearest possible.

    last: when the frame that is decoded last is shown. Its duration must be positive and not exceed
    the end; it must reach the end if no frame is shown after it.
    """
    if not delay:
        return 0
    decoded = times[len(times) - 1 - delay]
    if last == times[-1]:
        return last - decoded
    preferred = delay * (times[1] - times[0])
    return max(delay, last - decoded, min(preferred, end - 1 - decoded))


def _encoding(part: InputContainer) -> tuple[object, ...]:
    context = part.streams.video[0].codec_context
    return (context.name, context.height, context.width, context.pix_fmt, context.extradata)


def _times(part: InputContainer, unit: Fraction) -> tuple[list[int], int]:
    """Return when each frame is shown, in decoding order, and the end of the last one."""
    shown, end = [], 0
    for packet in part.demux():
        if packet.pts is None:
            continue
        time = _in_units(packet, unit)
        if isinstance(packet.stream, VideoStream):
            shown.append(time)
        else:
            end = time
    return shown, end


def _in_units(timed: "Packet[Any] | VideoFrame", unit: Fraction) -> int:
    assert timed.pts is not None
    assert timed.time_base is not None
    return round(timed.pts * timed.time_base / unit)


def packets_of(parts: Sequence[str], timeline: Timeline) -> Iterator["Packet[Any]"]:
    """Yield the packets of all parts, at their times in the whole film."""
    number = 0
    for url in parts:
        with open_container(url) as part:
            for packet in part.demux(part.streams.video[0]):
                if packet.pts is None:
                    continue
                packet.pts = _in_units(packet, timeline.unit)
                packet.dts = timeline.decoding_time(number)
                number += 1
                is_last = number == len(timeline.times)
                packet.duration = (
                    timeline.last_duration() if is_last else timeline.duration(packet.pts)
                )
                packet.time_base = timeline.unit
                yield packet


def frames_of(parts: Sequence[str], unit: Fraction) -> Iterator[tuple[int, VideoFrame]]:
    """Decode the frames of all parts and yield each with its time."""
    for url in parts:
        with open_container(url) as part:
            for frame in part.decode(part.streams.video[0]):
                yield _in_units(frame, unit), frame
