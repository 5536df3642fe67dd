"""What a unit asks of a worker, besides its source and its target: frozen data, no I/O."""

from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter

from farm.film import FilmFormat, Moment


@dataclass(frozen=True)
class Before:
    """The frame before one in a coherent film: its source, and what it became."""

    source: str
    moment: Moment | None
    target: str


@dataclass(frozen=True)
class Render:
    """Render a picture. moment: the frame of the film that the source is; None for a still.

    seed: name that makes the frame's seed; empty for the unit's own. number: of the frame in its
    film, from 0. seconds: when it is shown. depth: bits a channel that are written; None for the
    source's. before: what it follows on; None begins anew.
    """

    moment: Moment | None = None
    seed: str = ""
    number: int = 0
    seconds: float = 0.0
    depth: int | None = None
    before: Before | None = None
    kind: Literal["render"] = "render"


@dataclass(frozen=True)
class Picture:
    """One frame of a film to be written, from a file or from two that are mixed.

    files: name of the unit that made it, and its path. share: of the second file, 0..1.
    time, duration: in the format's time base.
    """

    files: tuple[tuple[str, str], ...]
    time: int
    duration: int
    share: float = 0.0


@dataclass(frozen=True)
class Blend:
    """Write a still of a working picture, or of two that are mixed. depth: bits a channel."""

    picture: Picture
    depth: int
    kind: Literal["blend"] = "blend"


@dataclass(frozen=True)
class Encode:
    """Write a part of a film. A picture that is missing is filled by its neighbour."""

    pictures: tuple[Picture, ...]
    form: FilmFormat
    kind: Literal["encode"] = "encode"


@dataclass(frozen=True)
class Join:
    """Join parts into a film, with the source's sound.

    span: seconds of the source that the film covers; None for all.
    """

    parts: tuple[str, ...]
    form: FilmFormat
    span: tuple[float, float] | None = None
    kind: Literal["join"] = "join"


@dataclass(frozen=True)
class Train:
    """Train on inputs, and leave the target in its folder."""

    inputs: tuple[str, ...]
    kind: Literal["train"] = "train"


Work = Render | Blend | Encode | Join | Train

WORK: Final[TypeAdapter[Work]] = TypeAdapter(Annotated[Work, Field(discriminator="kind")])
"""Reads and writes work as JSON."""
