"""The parameters of fine-tuning. Their names are those of Caffe's solver where it has one."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from farm import NetworkParams


def _split(value: object) -> object:
    """Divide "inception4,inception5" at its commas."""
    if not isinstance(value, list | tuple):
        return value
    return [part.strip() for text in value for part in str(text).split(",") if part.strip()]


Blocks = Annotated[tuple[str, ...], BeforeValidator(_split)]
"""Patterns of blocks: names, their beginnings, or with *; several with commas or by repetition."""


class FinetuneParams(NetworkParams):
    """Parameters of fine-tuning."""

    keep: Blocks = Field(
        (),
        description="Keep the weights of these blocks only, and initialise all others, such as "
        "conv1,inception3. Default: keep all but the classifier.",
    )
    reinit: Blocks = Field(
        (), description="Initialise the weights of these blocks, such as inception4,inception5."
    )
    freeze: Blocks = Field((), description="Do not train these blocks, such as conv1,conv2,conv3.")
    steps: int = Field(
        2000,
        ge=1,
        le=100_000_000,
        description="Total steps; raise it to continue a finished run. Dreams of 2015 took 25,000 to "
        "100,000.",
    )
    batch: int = Field(
        32,
        ge=1,
        le=65_536,
        description="Pictures per step. It is computed in parts if the memory is too small.",
    )
    rate: float = Field(5e-4, gt=0, le=10, description="Learning rate (Caffe: base_lr).")
    supervise: bool = Field(
        True,
        description="Divide the rate by 5 when the loss rises, and multiply it by 5 when the loss is "
        "stuck.",
    )
    policy: Literal["fixed", "step", "poly"] = Field(
        "fixed",
        description="How the rate falls. step: times `gamma` every `stepsize` steps. poly: to 0 at the "
        "last step.",
    )
    gamma: float = Field(0.96, gt=0, le=1, description="Factor of the step policy.")
    stepsize: int = Field(320_000, ge=1, description="Steps between the falls of the step policy.")
    power: float = Field(0.5, gt=0, le=10, description="Power of the poly policy.")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD.")
    weight_decay: float = Field(2e-4, ge=0, le=1, description="Weight decay; biases have none.")
    size: int = Field(
        256, ge=32, le=4096, description="Side to which pictures are squeezed, in pixels."
    )
    crop: int = Field(
        224,
        ge=32,
        le=4096,
        description="Side of the square that the network is shown, in pixels: at a random place while "
        "it trains, in the middle for the accuracy.",
    )
    flip: bool = Field(True, description="Mirror half of the pictures.")
    rotate: float = Field(
        0, ge=0, le=45, description="Turn pictures by up to this many degrees, either way."
    )
    blur: float = Field(0, ge=0, le=16, description="Blur pictures by up to this many pixels.")
    colour: float = Field(
        0,
        ge=0,
        le=1,
        description="Change brightness, contrast and saturation by up to this share.",
    )
    every: int = Field(
        200, ge=1, description="Steps between checkpoints (Caffe: snapshot, often 5000)."
    )
    kept: int = Field(3, ge=1, description="Number of checkpoints to keep.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.keep and self.reinit:
            raise ValueError("`keep` and `reinit` cannot be combined; choose one")
        if self.crop > self.size:
            raise ValueError(f"`crop` must be at most `size`, which is {self.size}")
        return self

    def rate_of(self, step: int) -> float:
        """Return the learning rate of a step, which counts from 0."""
        match self.policy:
            case "step":
                return self.rate * self.gamma ** (step // self.stepsize)
            case "poly":
                return float(self.rate * (1 - step / self.steps) ** self.power)
            case _:
                return self.rate
