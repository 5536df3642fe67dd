"""The endless dream: each frame magnifies the previous one and continues it.

Source: Mordvintsev, Olah, Tyka 2015, "Inceptionism" (zooming into the network's own dreams).
Differs: adds rotation, shift and parameters that change over time.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import cos, radians, sin
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from farm import BadParameter, Context, Effect, OverTime, TimedParams
from farm.host.keyframes import is_keyframe, parse_time
from farm.host.over_time import MOST_KEYFRAMES
from farm_dream.looks import ZOOMS
from farm_dream.params import DreamParams

if TYPE_CHECKING:
    from torch import Tensor

    from farm.engine.networks import Network
    from farm.engine.objectives import Objective


@dataclass(frozen=True)
class Cue:
    """A class to dream of from a given time.

    time: in seconds from the start of the film, or the number of a frame, from 1, if is_frame.
    """

    time: float
    is_frame: bool
    name: str

    def age(self, seconds: float, number: int) -> float:
        """Return for how many seconds it has applied at a frame; below 0 before. number: from 0."""
        if not self.is_frame:
            return seconds - self.time
        frames = number + 1 - self.time
        return frames * seconds / number if number else frames


def parse_cue(text: str) -> Cue:
    """Parse TIME=CLASS. Raises ValueError."""
    first, _, name = text.partition("=")
    time = parse_time(first)
    if time is None or not name:
        raise ValueError("give TIME=CLASS, for example 4=pizza, or f120=pizza for frame 120")
    return Cue(*time, name)


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
        description="Class to dream of from a given time, as TIME=CLASS; several follow each other. Or values "
        "at a time, as TIME NAME=VALUE ...: 10 step=2 is a step of 2 at 10 seconds, f240 step=2 at frame 240. "
        "Numbers are interpolated in between, and names cross-fade. A pair of numbers has a comma and no space, "
        "shift=2,0; of several names, each is a NAME=VALUE.",
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
        objective = self._classes_at(context, network)
        objective = objective or build_objective(params, network, context)
        return ascent.ascend(image, params, network, objective, context)

    def _classes_at(self, context: Context, network: "Network") -> "Objective | None":
        """Return the objective of the classes of a frame; None before the first cue."""
        from farm_dream.objective import class_objective

        params = self.params
        weights = class_weights(params.cues, context.seconds, context.number, params.fade)
        if not weights:
            return None
        return class_objective(network, weights)


def class_weights(cues: list[Cue], seconds: float, number: int, fade: float) -> dict[str, float]:
    """Return the weight of each class at a frame; empty before the first cue.

    seconds, number: of the frame, both from 0. fade: seconds that a class takes to fade in, from its
    cue. Weights add up to 1.
    """
    aged = ((cue.age(seconds, number), cue.name) for cue in cues)
    past = sorted((one for one in aged if one[0] >= 0), key=lambda one: -one[0])
    if not past:
        return {}
    age, latest = past[-1]
    if len(past) == 1 or age >= fade:
        return {latest: 1.0}
    share = age / fade
    _, previous = past[-2]
    if previous == latest:
        return {latest: 1.0}
    return {previous: 1 - share, latest: share}


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
