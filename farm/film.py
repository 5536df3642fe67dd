"""What is known of a film, and how one is to be written: frozen data, no I/O."""

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

Quality = Literal["draft", "good", "best"]
Coherence = Literal["none", "flow"]


@dataclass(frozen=True)
class Moment:
    """One frame of a film.

    index: from 0. time: when it is shown, in the film's time base; None where the film can only
    be read from its beginning, counting frames.
    """

    index: int
    time: int | None = None


@dataclass(frozen=True)
class Colour:
    """How a film's numbers stand for colours: codes of ITU-T H.273, 2 for unspecified.

    is_full: samples use the whole range, not 16..235.
    """

    primaries: int = 2
    transfer: int = 2
    matrix: int = 2
    is_full: bool = False


@dataclass(frozen=True)
class Film:
    """What reading a film from its first to its last frame has told.

    height, width: of upright frames. times: when each frame is shown, in units of time_base,
    rising. last: how long the last one is. aspect: of one pixel, width by height. depth: bits a
    sample. cuts: indices of frames that begin a shot, 0 among them. notes: what was passed over.
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
    """How a film is written. codec: a name of media.film's table. time_base: seconds, a fraction."""

    codec: str
    quality: Quality = "good"
    depth: int = 8
    time_base: tuple[int, int] = (1, 25)
    aspect: tuple[int, int] = (1, 1)
    colour: Colour = field(default_factory=Colour)
