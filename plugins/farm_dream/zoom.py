"""The endless dream: each frame is the one before, drawn nearer and dreamt on.

Source: Mordvintsev, Olah, Tyka 2015, "Inceptionism" (zooming into the network's own dreams).
Differs: rotation and shift beside the zoom, and classes that take turns.
"""

import re
from dataclasses import dataclass
from math import cos, radians, sin
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from farm import BadParameter, Context, Effect
from farm_dream.params import DreamParams

if TYPE_CHECKING:
    from torch import Tensor

    from farm.engine.networks import Network
    from farm.engine.objectives import Objective


@dataclass(frozen=True)
class Turn:
    """A class that is dreamt of from a time on. seconds: in the film."""

    seconds: float
    name: str


def read_turn(text: str) -> Turn:
    """Read SECONDS=CLASS. Raises ValueError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)=(.+)", text)
    if not found:
        raise ValueError("give SECONDS=CLASS, such as 4=volcano")
    return Turn(float(found[1]), found[2])


def _is_turn(text: str) -> str:
    read_turn(text)
    return text


class ZoomParams(DreamParams):
    """Parameters of the endless dream; those of the dream are for each frame."""

    zoom: float = Field(1.02, gt=0, le=4, description="How much nearer each frame is drawn.")
    rotate: float = Field(0, ge=-180, le=180, description="Degrees each frame is turned by.")
    shift: tuple[float, float] = Field(
        (0, 0), description="Pixels each frame is moved by: right and down."
    )
    turns: tuple[Annotated[str, AfterValidator(_is_turn)], ...] = Field(
        (),
        description="Dream of a class from a time on, SECONDS=CLASS; give it several times.",
        json_schema_extra={"cli": "--at"},
    )
    fade: float = Field(1.0, ge=0, description="Seconds over which one class turns into the next.")
    iterations: int = Field(3, ge=1, le=10_000, description="Steps in each octave.")
    octaves: int = Field(3, ge=1, le=20, description="Sizes to work through, small to large.")

    @model_validator(mode="after")
    def _takes_turns(self) -> Self:
        if self.turns and (self.classes or self.channels or self.guide):
            raise ValueError("no `classes`, `channels` or `guide` beside `turns`; choose one")
        if self.method == "enhance":
            raise ValueError("the endless dream climbs; `method` enhance is for stills")
        return self


class Zoom(Effect):
    """Dream without end: each frame is the one before, nearer and dreamt on."""

    name = "zoom"
    Params = ZoomParams
    params: ZoomParams
    is_endless = True

    def check(self, context: Context) -> None:
        from farm_dream.objective import check_objective

        check_objective(self.params, context)
        network = context.network(self.params.network, self.params.weights)
        if self.params.turns and network.spec.head is None:
            raise BadParameter("turns", f"{network.name} has no classes; choose another network")
        for turn in self.params.turns:
            network.class_index(read_turn(turn).name)

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        from farm_dream import ascent
        from farm_dream.objective import build_objective

        params = self.params
        if context.number:
            image = draw_near(image, params.zoom, params.rotate, *params.shift)
        network = context.network(params.network, params.weights)
        objective = self._turn(network, context.seconds) or build_objective(
            params, network, context
        )
        return ascent.climb(image, params, network, objective, context)

    def _turn(self, network: "Network", seconds: float) -> "Objective | None":
        """Return the classes of this time, one fading into the next; None before the first."""
        from farm.engine.objectives import Classes

        weights = turn_weights([read_turn(t) for t in self.params.turns], seconds, self.params.fade)
        if not weights:
            return None
        return Classes({network.class_index(name): share for name, share in weights.items()})


def turn_weights(turns: list[Turn], seconds: float, fade: float) -> dict[str, float]:
    """Return the share of each class at a time; empty before the first turn.

    A class fades in over so many seconds from its turn on; shares add up to 1.
    """
    begun = sorted((t for t in turns if t.seconds <= seconds), key=lambda t: t.seconds)
    if not begun:
        return {}
    *_, latest = begun
    if len(begun) == 1 or seconds - latest.seconds >= fade:
        return {latest.name: 1.0}
    share = (seconds - latest.seconds) / fade
    before = begun[-2].name
    if before == latest.name:
        return {latest.name: 1.0}
    return {before: 1 - share, latest.name: share}


def draw_near(image: "Tensor", zoom: float, degrees: float, right: float, down: float) -> "Tensor":
    """Return the image magnified about its centre, turned clockwise and moved by pixels.

    What comes in from outside is the image mirrored at its edges.
    """
    import torch
    import torch.nn.functional as F

    height, width = image.shape[2:]
    c, s, aspect = cos(radians(degrees)) / zoom, sin(radians(degrees)) / zoom, height / width
    x, y = 2 * right / width, 2 * down / height
    rows = [
        [c, s * aspect, -(c * x + s * aspect * y)],
        [-s / aspect, c, s / aspect * x - c * y],
    ]
    grid = F.affine_grid(
        torch.tensor([rows], dtype=image.dtype, device=image.device),
        list(image.shape),
        align_corners=False,
    )
    moved = F.grid_sample(
        image, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return moved.clamp(0, 1)
