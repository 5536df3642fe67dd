"""What a worker does for a unit: render, blend, encode, join or train."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from farm.model.film import FilmFormat, Moment


@dataclass(frozen=True)
class Before:
    """The previous frame of a coherent film: its source and its rendered picture."""

    source: str
    moment: Moment | None
    target: str


@dataclass(frozen=True)
class Ahead:
    """A later frame of the same segment, some frames further on.

    number, seconds, moment: as those of Render. source: its film or picture; empty in ledgers of farms that did
    not look at it. seed: of that frame by itself; empty, as in older ledgers, for the plan's own.
    """

    number: int
    seconds: float
    frames: int
    source: str = ""
    moment: Moment | None = None
    seed: str = ""


@dataclass(frozen=True)
class Render:
    """Render a picture.

    moment: the frame of the source film; None for a still. seed: tells the frame's seed from those of
    the others in its film; empty for the plan's own seed, as for stills. number: of the frame in its film, from 0. seconds: when
    the frame is shown in its film. depth: bits per channel to write; None for the source's. before: the frame
    this one continues; None starts afresh. ahead: the frame up to which this one tells how strong frames are;
    None leaves that to an earlier one. shape: height and width that the source is brought to; None
    for what the plan's size says. refusal: why planning refused the source; the attempt
    fails with it.
    """

    moment: Moment | None = None
    seed: str = ""
    number: int = 0
    seconds: float = 0.0
    depth: int | None = None
    before: Before | None = None
    ahead: Ahead | None = None
    shape: tuple[int, int] | None = None
    refusal: str = ""
    kind: Literal["render"] = "render"


@dataclass(frozen=True)
class Picture:
    """One frame of a film to write, from one file or from two that are cross-faded.

    files: for each, the unit that writes it and its path. share: weight of the second file, 0..1.
    time, duration: in the format's time base. source, moment: what both files were rendered from, if
    there are two. into: the unit and the path of the frame that this one fades into, in a film that
    loops; into_share: weight of that frame, 0..1.
    """

    files: tuple[tuple[str, str], ...]
    time: int
    duration: int
    share: float = 0.0
    source: str = ""
    moment: Moment | None = None
    into: tuple[str, str] | None = None
    into_share: float = 0.0

    @property
    def own(self) -> tuple[str, str]:
        """The unit and the path of the frame whose place in the film this is."""
        return self.into or self.files[0]

    @property
    def needs(self) -> tuple[str, ...]:
        """The units that write the files."""
        files = (*self.files, self.into) if self.into else self.files
        return tuple(unit for unit, _ in files)


@dataclass(frozen=True)
class Blend:
    """Write a still from a working picture, or from two that are cross-faded. depth: bits per channel."""

    picture: Picture
    depth: int
    kind: Literal["blend"] = "blend"


@dataclass(frozen=True)
class Encode:
    """Encode a part of a film. A missing picture is replaced by its nearest neighbour."""

    pictures: tuple[Picture, ...]
    form: FilmFormat
    kind: Literal["encode"] = "encode"


@dataclass(frozen=True)
class Join:
    """Join parts into a film and add the source's sound.

    span: start and end in seconds of the source that the film covers; None for all of it.
    """

    parts: tuple[str, ...]
    form: FilmFormat
    span: tuple[float, float] | None = None
    kind: Literal["join"] = "join"


@dataclass(frozen=True)
class Train:
    """Train on the inputs and leave the result at the target."""

    inputs: tuple[str, ...]
    kind: Literal["train"] = "train"


Work = Render | Blend | Encode | Join | Train

WORK: Final[TypeAdapter[Work]] = TypeAdapter(Annotated[Work, Field(discriminator="kind")])
"""Reads and writes work as JSON."""
