"""The endless dream: each frame magnifies the previous one and continues it.

Source: Mordvintsev, Olah, Tyka 2015, "Inceptionism" (zooming into the network's own dreams).
Differs: adds rotation, shift and parameters that change over time.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, radians, sin
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from farm import BadParameter, Context, Effect, OverTime, TimedParams
from farm.host.keyframes import is_keyframe
from farm.host.over_time import MOST_KEYFRAMES
from farm_dream.looks import ZOOMS
from farm_dream.params import DreamParams

if TYPE_CHECKING:
    from torch import Tensor

    from farm.engine.networks import Network
    from farm.engine.objectives import Objective


@dataclass(frozen=True)
class Cue:
    """A class to dream of from a given time. seconds: since the start of the film."""

    seconds: float
    name: str


def parse_cue(text: str) -> Cue:
    """Parse SECONDS=CLASS. Raises ValueError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)=(.+)", text)
    if not match:
        raise ValueError("give SECONDS=CLASS, for example 4=pizza")
    return Cue(float(match[1]), match[2])


def _is_time(text: str) -> str:
    if is_keyframe(text):
        return TimedParams.checked_keyframe(text)
    parse_cue(text)
    return text


class ZoomParams(DreamParams):
    """Parameters of the endless dream. Those of the dream apply to each frame."""

    zoom: OverTime[float] = Field(1.02, gt=0, le=4, description="Magnification per frame.")
    rotate: OverTime[float] = Field(
        0, ge=-180, le=180, description="Rotation per frame, in degrees clockwise."
    )
    shift: OverTime[tuple[float, float]] = Field(
        (0, 0), description="Shift per frame, in pixels right and down."
    )
    at: tuple[Annotated[str, AfterValidator(_is_time)], ...] = Field(
        (),
        max_length=MOST_KEYFRAMES,
        title="Over time",
        description="Class to dream of from a given time, as SECONDS=CLASS; several follow each other. Or values "
        "at a time, as TIME NAME=VALUE ...: 10 step=2 is a step of 2 at 10 seconds, f240 step=2 at frame 240. "
        "Numbers are interpolated in between, and names cross-fade.",
    )
    fade: float = Field(
        1.0, ge=0, description="Seconds that one class takes to fade into the next."
    )
    iterations: OverTime[int] = Field(3, ge=1, le=10_000, description="Steps per octave.")
    octaves: int = Field(
        3, ge=1, le=20, description="Number of sizes to work through, from small to large."
    )

    @model_validator(mode="before")
    @classmethod
    def _with_earlier_name(cls, values: Any) -> Any:
        """Take cues under the name that records of earlier versions have."""
        if isinstance(values, dict) and "turns" in values:
            others = {name: value for name, value in values.items() if name != "turns"}
            return {"at": values["turns"]} | others
        return values

    @model_validator(mode="after")
    def _fits_the_zoom(self) -> Self:
        if self.cues and (self.classes or self.channels or self.guide):
            raise ValueError(
                "a class of `at` cannot be combined with `classes`, `channels` or `guide`; choose one"
            )
        if self.method == "enhance":
            raise ValueError("the endless dream cannot use `method` enhance; omit it")
        return self

    @property
    def cues(self) -> list[Cue]:
        """The classes to dream of, each from a time."""
        return [parse_cue(text) for text in self.at if not is_keyframe(text)]


class Zoom(Effect):
    """Zoom endlessly into a dream: each frame magnifies the previous one and continues it."""

    name = "zoom"
    Params = ZoomParams
    params: ZoomParams
    is_endless = True
    presets = ZOOMS

    def check(self, context: Context) -> None:
        from farm_dream.objective import check_objective

        check_objective(self.params, context)
        network = context.network(self.params.network, self.params.weights)
        if self.params.cues and network.spec.head is None:
            raise BadParameter("at", f"{network.name} has no classes; choose another network")
        for cue in self.params.cues:
            network.class_shares(cue.name)

    def notes(self, context: Context) -> Iterable[str]:
        from farm_dream.objective import class_notes

        network = context.network(self.params.network, self.params.weights)
        cues = (cue.name for cue in self.params.cues)
        return class_notes((*self.params.class_weights(), *cues), network)

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        from farm_dream import ascent
        from farm_dream.objective import build_objective

        params = self.params
        if context.number:
            image = move_camera(image, params.zoom, params.rotate, *params.shift)
        network = context.network(params.network, params.weights)
        objective = self._classes_at(context.seconds, network)
        objective = objective or build_objective(params, network, context)
        return ascent.ascend(image, params, network, objective, context)

    def _classes_at(self, seconds: float, network: "Network") -> "Objective | None":
        """Return the objective of the classes at a time; None before the first cue."""
        from farm_dream.objective import class_objective

        weights = class_weights(self.params.cues, seconds, self.params.fade)
        if not weights:
            return None
        return class_objective(network, weights)


def class_weights(cues: list[Cue], seconds: float, fade: float) -> dict[str, float]:
    """Return the weight of each class at a time; empty before the first cue.

    fade: seconds that a class takes to fade in, from its cue. Weights add up to 1.
    """
    past = sorted((cue for cue in cues if cue.seconds <= seconds), key=lambda cue: cue.seconds)
    if not past:
        return {}
    *_, latest = past
    if len(past) == 1 or seconds - latest.seconds >= fade:
        return {latest.name: 1.0}
    share = (seconds - latest.seconds) / fade
    previous = past[-2].name
    if previous == latest.name:
        return {latest.name: 1.0}
    return {previous: 1 - share, latest.name: share}


def move_camera(
    image: "Tensor", zoom: float, degrees: float, right: float, down: float
) -> "Tensor":
    """Return the image magnified and rotated about its centre, then shifted by pixels.

    The image is mirrored beyond its edges. degrees: clockwise.
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
