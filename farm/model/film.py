"""What the farm knows about a film, and the format it writes one in."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

Quality = Literal["draft", "good", "best"]
Coherence = Literal["none", "previous", "flow"]
"""What a frame of a film continues: nothing, the previous frame as it was, or warped along the motion."""


@dataclass(frozen=True)
class Moment:
    """One frame of a film.

    index: from 0. time: when it is shown, in the film's time base; None for a film that cannot be
    seeked and is read from the start.
    """

    index: int
    time: int | None = None


@dataclass(frozen=True)
class Colour:
    """How a film encodes colour: codes of ITU-T H.273, where 2 means unspecified.

    is_full: samples use the full range instead of 16..235.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    is_full: bool = False


@dataclass(frozen=True)
class Film:
    """A film as found by reading it from the first frame to the last.

    height, width: of upright frames. times: when each frame is shown, in units of time_base,
    increasing. last: duration of the last frame. aspect: of one pixel, width over height. depth:
    bits per sample. cuts: indices of the frames that start a shot, 0 included. fades: of those
    by which a shot has come out of black or white. notes: what was skipped while reading.
    """

    url: str
    height: int
    width: int
    times: tuple[int, ...]
    last: int
    time_base: Fraction
    is_seekable: bool = True
    aspect: Fraction = Fraction(1)
    colour: Colour = field(default_factory=Colour)
    depth: int = 8
    has_sound: bool = False
    cuts: tuple[int, ...] = (0,)
    fades: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    def moment(self, index: int) -> Moment:
        return Moment(index, self.times[index] if self.is_seekable else None)

    def duration(self, index: int) -> int:
        """Return how long a frame is shown, in units of time_base."""
        following = index + 1
        return (
            self.times[following] - self.times[index] if following < len(self.times) else self.last
        )


@dataclass(frozen=True)
class FilmFormat:
    """How a film is written. codec: a name in media.film's table. time_base: a fraction of a second."""

    codec: str
    quality: Quality = "good"
    depth: int = 8
    time_base: tuple[int, int] = (1, 25)
    aspect: tuple[int, int] = (1, 1)
    colour: Colour = field(default_factory=Colour)
