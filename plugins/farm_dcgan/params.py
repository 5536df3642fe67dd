"""The parameters of `farm dcgan`: every number of a preset, and the options that no preset uses."""

from dataclasses import fields, replace
from typing import Any, Final, Literal

from pydantic import Field

from farm import TaskParams
from farm_dcgan.presets import PRESETS, Augmentation, Preset, Prior

LARGEST_COUNT: Final = 10_000_000


def _of_preset(name: str, text: str, **bounds: Any) -> Any:
    """Return the declaration of a parameter whose default is the preset's number."""
    values = {key: getattr(preset, name) for key, preset in PRESETS.items()}
    if len({*values.values()}) == 1:
        listed = _written(next(iter(values.values())))
    else:
        listed = ", ".join(f"{_written(value)} ({key})" for key, value in values.items())
    return Field(None, description=f"{text} Default: {listed}.", **bounds)


def _written(value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return f"{value:.10g}" if isinstance(value, float) else str(value)


class DcganParams(TaskParams):
    """Parameters of the training; those that are not set have the preset's values."""

    preset: Literal["dcgan64", "cats128", "faces256"] = Field(
        "dcgan64", description="Recipe, and side of the pictures: 64, 128 or 256 pixels."
    )
    steps: int | None = _of_preset(
        "steps", "Total steps. Raise it to continue a finished run.", ge=1, le=LARGEST_COUNT
    )
    every: int = Field(100, ge=1, description="Steps between checkpoints.")
    kept: int = Field(3, ge=1, le=100_000, description="Checkpoints to keep; grids are all kept.")
    batch: int | None = _of_preset("batch", "Pictures per step.", ge=2, le=65_536)
    width: float | None = _of_preset(
        "width", "Share of the published channels in every layer.", gt=0, le=8
    )
    flip: bool | None = _of_preset("flip", "Mirror half of the pictures, at random.")
    augment: tuple[Augmentation, ...] | None = Field(
        None,
        description="Change what the discriminator sees, so that a small set is enough (Zhao et al. "
        "2020). Several are combined. Default: none.",
    )
    spectral_norm: bool | None = _of_preset(
        "spectral_norm", "Spectral norm instead of batch norm in the discriminator."
    )
    noise: float | None = _of_preset(
        "noise",
        "Standard deviation of noise on what the discriminator sees, at first; pictures are in "
        "-1..1.",
        ge=0,
        le=10,
    )
    noise_steps: int | None = _of_preset(
        "noise_steps", "Steps until that noise has faded.", ge=1, le=LARGEST_COUNT
    )
    discriminator_steps: int | None = _of_preset(
        "discriminator_steps", "Steps of the discriminator for each of the generator.", ge=1, le=100
    )
    real_label: float | None = _of_preset(
        "real_label",
        "Target for real pictures; 0.9 is one-sided label smoothing (Salimans et al. 2016).",
        gt=0.5,
        le=1,
    )
    average: float | None = _of_preset(
        "average",
        "Decay of the moving average of the generator that draws grids, samples and the result; "
        "0: the generator itself.",
        ge=0,
        lt=1,
    )
    generator_rate: float | None = _of_preset(
        "generator_rate", "Learning rate of the generator.", gt=0, le=1
    )
    discriminator_rate: float | None = _of_preset(
        "discriminator_rate", "Learning rate of the discriminator.", gt=0, le=1
    )
    beta1: float | None = _of_preset("beta1", "Decay of Adam's first moment.", ge=0, lt=1)
    beta2: float | None = _of_preset("beta2", "Decay of Adam's second moment.", ge=0, lt=1)
    unit_gain: bool | None = _of_preset(
        "unit_gain", "Adam's first moment is an average; off: a sum, 1 / (1 - beta1) as large."
    )
    clip: float | None = _of_preset(
        "clip", "Largest value of a gradient; larger ones are cut. 0: no limit.", ge=0, le=1e6
    )
    latent: int | None = _of_preset("latent", "Numbers in a latent.", ge=1, le=65_536)
    prior: Prior | None = _of_preset("prior", "Distribution of latents.")
    fresh_latents: bool | None = _of_preset(
        "fresh_latents", "Draw new latents for the generator's step."
    )
    slope: float | None = _of_preset(
        "slope", "Slope of the leaky activations below zero.", ge=0, le=1
    )
    deviation: float | None = _of_preset(
        "deviation", "Standard deviation of the first weights.", gt=0, le=10
    )
    truncated: bool | None = _of_preset(
        "truncated", "Draw no first weight beyond two standard deviations."
    )
    norm_deviation: float | None = _of_preset(
        "norm_deviation", "Standard deviation of batch norm's first scales, around 1.", ge=0, le=1
    )
    momentum: float | None = _of_preset(
        "momentum",
        "Share of batch norm's running statistics that a step replaces.",
        gt=0,
        le=1,
    )
    epsilon: float | None = _of_preset("epsilon", "What batch norm adds to variances.", gt=0, le=1)
    jitter: float | None = _of_preset(
        "jitter",
        "Largest relative change of the brightness, contrast and saturation of pictures.",
        ge=0,
        lt=1,
    )

    def recipe(self) -> Preset:
        """Return the preset with the parameters that were set."""
        names = [field.name for field in fields(Preset) if field.name in type(self).model_fields]
        values = {name: getattr(self, name) for name in names}
        preset = PRESETS[self.preset]
        return replace(preset, **{name: v for name, v in values.items() if v is not None})
