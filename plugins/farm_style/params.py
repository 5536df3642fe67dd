"""The parameters of the style: one declaration for flags, schema and validation."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from farm import FilePath, MaskPath, NetworkParams, OverTime, TimedParams, weighted
from farm_style.names import find, shipped

Weight = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]

_PATH: TypeAdapter[str] = TypeAdapter(FilePath)


def split_weight(text: str) -> tuple[str, float]:
    """Split NAME=WEIGHT; the default weight is 1. Raises ValueError.

    Text after the last = is a weight only if it is a number, because names may contain =.
    """
    name, sign, weight = text.rpartition("=")
    try:
        number = float(weight) if sign and name else None
    except ValueError:
        number = None
    if number is None:
        return text, 1.0
    if not 0 < number <= 1e6:
        raise ValueError(
            f"the weight of {name} is {weight}; it must be above 0 and at most 1000000"
        )
    return name, number


def _is_layer(text: str) -> str:
    name, _ = split_weight(text)
    if not name or "=" in name:
        raise ValueError(f"give NAME or NAME=WEIGHT, not {text!r}")
    if "," in name:
        raise ValueError(f"give the names of several layers one by one, not {text!r}")
    return text


def _is_style(text: str) -> str:
    path, weight = split_weight(text)
    if not path:
        raise ValueError("give FILE or FILE=WEIGHT")
    absolute = _PATH.validate_python(path)
    return absolute if weight == 1 else f"{absolute}={weight:g}"


def _file_name(path: str) -> str:
    return path.rpartition("/")[2]


def _is_share(text: str) -> str:
    name, weight = weighted(text)
    if "/" in name:
        raise ValueError(f"give the name of a style picture's file without its folder, not {name}")
    if not 0 <= weight <= 1e6:  # NaN is refused too
        raise ValueError(f"the weight of {name} is {weight:g}; it must be from 0 to 1000000")
    return text


def _is_trained(text: str) -> str:
    if not text:
        raise ValueError(f"give {', '.join(shipped())}, or the path of a file or folder")
    if text in shipped():
        return text
    if Path(text).expanduser().exists():
        return _PATH.validate_python(text)
    if text.isidentifier():
        find(text)  # refuses it
    return text


def _is_start(text: str) -> str:
    if not text:
        raise ValueError("give content, noise, or the path of a picture")
    return text if text in ("content", "noise") else _PATH.validate_python(text)


Layer = Annotated[str, AfterValidator(_is_layer)]
StyleFile = Annotated[str, AfterValidator(_is_style)]
Share = Annotated[str, AfterValidator(_is_share)]
Trained = Annotated[str, AfterValidator(_is_trained)]
Start = Annotated[str, AfterValidator(_is_start)]


class StyleParams(TimedParams, NetworkParams):
    """Parameters of the style transfer."""

    styles: tuple[StyleFile, ...] = Field(
        (),
        description="Style picture, as FILE or FILE=WEIGHT; several are mixed.",
        json_schema_extra={"cli": "--style", "group": "main"},
    )
    mix: OverTime[tuple[Share, ...]] = Field(
        (),
        description="Which of several style pictures to use, as the NAME or NAME=WEIGHT of its file, without folder; "
        "for styles that change over time. Default: all of them.",
    )
    fast: Trained | None = Field(
        None,
        description="Stylise in one pass with a trained style network: its name, its file, or the "
        "folder of a `farm train-style` run. Those that come with the farm: "
        f"{', '.join(shipped())}. Without a value: eddies.",
        json_schema_extra={
            "alone": "eddies",
            "group": "main",
            "help": "Stylise in one pass with a trained style network: a file, the folder of a run of "
            f"train-style, or one that comes with the farm: {', '.join(shipped())}.",
        },
    )
    masks: tuple[MaskPath, ...] = Field(
        (),
        description="Picture that limits a style to its white areas. It is scaled to the picture, "
        "and must have the same aspect ratio. Give one for each style, in the same order.",
        json_schema_extra={"cli": "--mask"},
    )
    style_scale: OverTime[float] = Field(
        1.0,
        ge=0.05,
        le=8,
        description="Size of the strokes. 1: style pictures are scaled to the size of the picture.",
    )
    keep_colours: Literal["none", "luminance", "histogram"] = Field(
        "none",
        description="luminance: keep the colours of the picture and change only light and dark. "
        "histogram: first recolour the style pictures to match the picture.",
    )
    strength: OverTime[float] = Field(
        1.0,
        ge=0.1,
        le=10,
        description="How far to go from the picture to the styles: 2 is bold, 0.5 is a hint. It moves the "
        "weights of content and style together, and below 1 that of smoothness with them. Pictures with "
        "fewer than 512 pixels on the longer side get less of it, half at 256, to stay recognisable.",
    )
    content_weight: OverTime[float] = Field(
        0.04, ge=0, le=1e6, description="How strongly to keep the content of the picture."
    )
    style_weight: OverTime[float] = Field(
        1.0, ge=0, le=1e6, description="How strongly to apply the styles."
    )
    tv: OverTime[float] = Field(
        6.0,
        ge=0,
        le=1e6,
        title="Smoothness (TV)",
        description="Smoothness weight; higher is smoother.",
    )
    statistic: Literal["gram", "w2"] = Field(
        "w2",
        description="What to match in a style. w2: mean and covariance of features, by Wasserstein "
        "distance. gram: Gram matrices of features, as in 2015.",
    )
    content_layers: tuple[Layer, ...] = Field(
        (),
        description="Layer that preserves content, as NAME or NAME=WEIGHT; several are mixed. "
        "Default: depends on the network.",
        json_schema_extra={"cli": "--content-layer"},
    )
    style_layers: tuple[Layer, ...] = Field(
        (),
        description="Layer that carries style, as NAME or NAME=WEIGHT; several are mixed. "
        "Default: depends on the network.",
        json_schema_extra={"cli": "--style-layer"},
    )
    scales: int | None = Field(
        None,
        ge=1,
        le=20,
        description="Number of sizes to work through, from small to large, each 1.4 times the last. "
        "Default: start at about 128 pixels.",
    )
    iterations: OverTime[int] = Field(100, ge=1, le=100_000, description="Steps per size.")
    optimizer: Literal["adam", "lbfgs"] = Field(
        "adam",
        description="Optimisation method. lbfgs goes further in as many steps: use less strength.",
    )
    step: OverTime[float] = Field(
        5.0, gt=0, le=255, description="Step size of Adam, on a scale of 0 to 255."
    )
    average: OverTime[float] = Field(
        0.98,
        ge=0,
        lt=1,
        description="Weight of earlier steps in the average that Adam returns; 0: only the last step.",
    )
    start: Start = Field(
        "content", description="What to start from: content, noise, or the file of a picture."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.fast is None and not self.styles:
            raise ValueError(
                "give a style picture with `styles`, or a trained style network with `fast`"
            )
        if self.fast is not None and self.styles:
            raise ValueError(
                "`fast` and `styles` cannot be combined: a trained network has its own style"
            )
        self._check_mix()
        if self.masks and len(self.masks) != len(self.styles):
            raise ValueError(
                f"{len(self.masks)} `masks` for {len(self.styles)} `styles`; give one for each, in "
                "the same order, or none"
            )
        if self.fast is not None and self.strength != 1:
            raise ValueError("`strength` is for `styles`: a trained network has its own; omit it")
        if self.fast is not None and self.at:
            raise ValueError(
                "`fast` has one look, in which `at` changes nothing; for looks that cross-fade, give "
                "several `styles`, and change their `mix` with `at`"
            )
        if self.fast is None and not self.style_weight:
            raise ValueError("`style_weight` 0 changes nothing; give a value above 0")
        return self

    def _check_mix(self) -> None:
        names = [_file_name(path) for path, _ in map(split_weight, self.styles)]
        for name, _ in map(weighted, self.mix):
            if name not in names:
                known = ", ".join(names) or "none; it is for `styles`"
                raise ValueError(f"`mix` has {name}; the style pictures are {known}")
            if names.count(name) > 1:
                raise ValueError(
                    f"`mix` has {name}, the name of several style pictures; rename one"
                )
        if self.mix and not any(weight for _, weight in self.style_weights()):
            raise ValueError("`mix` gives no style picture a weight; give one above 0")

    def style_weights(self) -> list[tuple[str, float]]:
        """Return the path of each style picture, and its weight: its own, times that in the mix."""
        styles = [split_weight(style) for style in self.styles]
        if not self.mix:
            return styles
        mix = dict(map(weighted, self.mix))
        return [(path, weight * mix.get(_file_name(path), 0.0)) for path, weight in styles]
