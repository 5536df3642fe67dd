"""The parameters of the dream: one declaration for flags, schema and validation."""

import re
from typing import Annotated, Final, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, model_validator

from farm import FilePath, MaskPath, NetworkParams, OverTime, TimedParams, weighted

MAX_WEIGHT: Final = 1_000_000
"""Largest weight of a layer, in either direction: much larger ones overflow float32."""

USUAL_LAYERS: Final = ("inception4c",)


def _is_class(value: str) -> str:
    name, weight = weighted(value)
    if not abs(weight) <= MAX_WEIGHT:  # NaN is refused too
        given = value.rpartition("=")[2]
        raise ValueError(
            f"the weight of {name} is {given}; it must be between -{MAX_WEIGHT} and {MAX_WEIGHT}"
        )
    return value


def _is_layer(value: str) -> str:
    name, sign, _ = weighted(value)[0].partition("=")
    if not name:
        raise ValueError("give NAME or NAME=WEIGHT")
    if "," in value:
        raise ValueError(f"give the names of several layers one by one, not {value!r}")
    if sign:
        raise ValueError(f"the weight in {value!r} is not a number; give, for example, NAME=0.5")
    return _is_class(value)


def _as_text(value: object) -> object:
    """Return the number of a channel, which may come as a number, as text."""
    return str(value) if type(value) is int else value


def _is_channel(value: str) -> str:
    number, _ = weighted(_is_class(value))
    if not re.fullmatch("[0-9]{1,6}", number):
        raise ValueError("give NUMBER or NUMBER=WEIGHT; channels count from 0")
    return value


def _as_stored(value: str) -> int | str:
    """Return a channel without weight as a number, which it was before channels had weights."""
    return int(value) if value.isdecimal() else value


Layer = Annotated[str, AfterValidator(_is_layer)]
Class = Annotated[str, AfterValidator(_is_class)]
Channel = Annotated[
    str,
    BeforeValidator(_as_text),
    AfterValidator(_is_channel),
    PlainSerializer(_as_stored, return_type=int | str, when_used="json"),
]


class DreamParams(TimedParams, NetworkParams):
    """Parameters of the dream. The defaults reproduce the look of the 2015 notebook."""

    layers: OverTime[tuple[Layer, ...]] = Field(
        USUAL_LAYERS,
        min_length=1,
        description="Layer to amplify, as NAME or NAME=WEIGHT; several are mixed.",
        json_schema_extra={"cli": "--layer"},
    )
    channels: OverTime[tuple[Channel, ...]] = Field(
        (),
        description="Amplify only this channel of each layer, as NUMBER or NUMBER=WEIGHT; several are mixed.",
        json_schema_extra={"cli": "--channel"},
    )
    neuron: OverTime[tuple[float, float] | None] = Field(
        None,
        description="Amplify only the neuron at Y X, as fractions (0 to 1) of height and width. "
        "Needs a channel.",
    )
    classes: OverTime[tuple[Class, ...]] = Field(
        (),
        description="Class to dream of, by name or number, or a word in the names of several, as NAME or "
        "NAME=WEIGHT; several are mixed. `farm networks NAME --classes` lists them.",
        json_schema_extra={
            "cli": "--class",
            "group": "main",
            "help": "Class to dream of, by name or number, or a word in the names of several, such as cat.",
        },
    )
    guide: FilePath | None = Field(
        None,
        description="Picture whose features the dream imitates.",
        json_schema_extra={"group": "main"},
    )
    mask: MaskPath | None = Field(
        None,
        description="Picture that limits the dream: full in white areas, none in black. It is scaled "
        "to the picture, and must have the same aspect ratio.",
    )
    start: Literal["picture", "mean", "noise"] = Field(
        "picture",
        description="Start from the picture, from the network's mean colour, or from noise around that "
        "colour.",
    )
    method: Literal["ascent", "enhance"] = Field(
        "ascent",
        description="ascent: follow the gradient step by step. enhance: solve, with L-BFGS, for a "
        "picture with amplified features, with octaves * iterations steps at each size.",
    )
    iterations: OverTime[int] = Field(10, ge=1, le=10_000, description="Steps per octave.")
    octaves: int = Field(
        4, ge=1, le=20, description="Number of sizes to work through, from small to large."
    )
    scale: OverTime[float] = Field(
        1.4, gt=1, le=4, description="Size ratio between one octave and the next."
    )
    step: OverTime[float] = Field(
        1.5, gt=0, le=255, description="Mean change of a pixel per step, on a scale of 0 to 255."
    )
    jitter: OverTime[int] = Field(
        32, ge=0, le=4096, description="Largest random shift per step, in pixels."
    )
    smooth: OverTime[float] = Field(
        0, ge=0, le=64, description="Blur the gradient by this many pixels; 0: no blur."
    )
    laplacian: int = Field(
        0,
        ge=0,
        le=8,
        description="Equalise the gradient over this many frequency bands, for a softer look; 0: off.",
    )
    l2: OverTime[float] = Field(
        0,
        ge=0,
        le=10,
        title="Colour pull (L2)",
        description="Pull towards the mean colour in each step; useful with classes.",
    )
    tv: OverTime[float] = Field(
        0.0,
        ge=0,
        le=1000,
        title="Smoothness (TV)",
        description="Smoothness weight, for the enhance method.",
    )
    amplify: OverTime[float] = Field(
        2.0, gt=0, le=100, description="Factor by which the enhance method amplifies features."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.neuron and not self.channels:
            raise ValueError("`neuron` needs a channel; add `channels`")
        if self.neuron and not all(0 <= f <= 1 for f in self.neuron):
            raise ValueError("`neuron` is in fractions of the picture, from 0 to 1")
        goals = [w for w in ("channels", "classes", "guide") if getattr(self, w)]
        if len(goals) > 1:
            raise ValueError(
                f"{' and '.join(f'`{w}`' for w in goals)} cannot be combined; choose one"
            )
        if self.classes and self.layers != USUAL_LAYERS:  # which presets and files may have set
            raise ValueError(
                "`layers` has no effect with `classes`; omit one, or set `layers` back to "
                f"{' '.join(USUAL_LAYERS)}"
            )
        if self.method == "enhance" and (goals or self.start != "picture"):
            raise ValueError(
                "enhance amplifies the features of the picture itself; give only `layers`"
            )
        return self

    def layer_weights(self) -> dict[str, float]:
        """Return the weight of each layer; the default is 1."""
        return dict(map(weighted, self.layers))

    def channel_weights(self) -> dict[int, float]:
        """Return the weight of each channel; the default is 1. Those of a channel given again add up."""
        weights: dict[int, float] = {}
        for number, weight in map(weighted, self.channels):
            weights[int(number)] = weights.get(int(number), 0.0) + weight
        return weights

    def class_weights(self) -> dict[str, float]:
        """Return the weight of each class; the default is 1."""
        return dict(map(weighted, self.classes))
