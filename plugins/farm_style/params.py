"""The style's parameters: one declaration for flags, schema, form and validation."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, TypeAdapter, model_validator

from farm import FilePath, NetworkParams

Weight = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]

_PATH: TypeAdapter[str] = TypeAdapter(FilePath)
_WEIGHT: TypeAdapter[float] = TypeAdapter(Weight)


def split_weight(text: str) -> tuple[str, float]:
    """Split NAME=WEIGHT; the weight is 1 where none is given. Raises ValueError.

    What follows the last = is a weight only if it is a number: names may hold that sign.
    """
    name, sign, weight = text.rpartition("=")
    try:
        number = float(weight) if sign and name else None
    except ValueError:
        number = None
    if number is None:
        return text, 1.0
    if not 0 < number <= 1e6:
        raise ValueError(f"the weight {weight} of {name} must be above 0 and at most 1000000")
    return name, number


def _is_layer(text: str) -> str:
    name, _ = split_weight(text)
    if not name or "=" in name:
        raise ValueError(f"give NAME or NAME=WEIGHT, not {text!r}")
    return text


def _is_style(text: str) -> str:
    path, weight = split_weight(text)
    if not path:
        raise ValueError("give FILE or FILE=WEIGHT")
    absolute = _PATH.validate_python(path)
    return absolute if weight == 1 else f"{absolute}={weight:g}"


def _is_start(text: str) -> str:
    return text if text in ("content", "noise") else _PATH.validate_python(text)


Layer = Annotated[str, AfterValidator(_is_layer)]
StyleFile = Annotated[str, AfterValidator(_is_style)]
Start = Annotated[str, AfterValidator(_is_start)]


class StyleParams(NetworkParams):
    """Parameters of the style transfer."""

    styles: tuple[StyleFile, ...] = Field(
        (),
        description="Picture to paint like, FILE or FILE=WEIGHT; give it several times to mix.",
        json_schema_extra={"cli": "--style"},
    )
    fast: str | None = Field(
        None,
        description="Paint in one pass by a trained network: its name, its file, or the folder of "
        "a `farm train-style` run; alone, by the one that comes with the farm.",
        json_schema_extra={"alone": "eddies"},
    )
    masks: tuple[FilePath, ...] = Field(
        (),
        description="Picture that says where a style acts, white does; one for each --style.",
        json_schema_extra={"cli": "--mask"},
    )
    style_scale: float = Field(
        1.0,
        ge=0.05,
        le=8,
        description="Size of the strokes; 1: styles are taken as large as the picture.",
    )
    keep_colours: Literal["none", "luminance", "histogram"] = Field(
        "none",
        description="luminance paints light and dark alone; histogram gives the styles the "
        "picture's colours first.",
    )
    content_weight: float = Field(
        0.15, ge=0, le=1e6, description="How strongly the picture's own things are kept."
    )
    style_weight: float = Field(1.0, ge=0, le=1e6, description="How strongly the styles act.")
    tv: float = Field(6.0, ge=0, le=1e6, description="Weight of smoothness.")
    statistic: Literal["gram", "w2"] = Field(
        "gram",
        description="What of a style is matched: its Gram matrices, or the mean and covariance "
        "of its features by their Wasserstein distance.",
    )
    content_layers: tuple[Layer, ...] = Field(
        (),
        description="Layer that keeps the content, NAME or NAME=WEIGHT; none: the network's usual.",
        json_schema_extra={"cli": "--content-layer"},
    )
    style_layers: tuple[Layer, ...] = Field(
        (),
        description="Layer that carries the style, NAME or NAME=WEIGHT; none: the network's usual.",
        json_schema_extra={"cli": "--style-layer"},
    )
    scales: int | None = Field(
        None,
        ge=1,
        le=20,
        description="Sizes to work through, small to large by the root of 2; "
        "none: from about 128 pixels on.",
    )
    iterations: int = Field(100, ge=1, le=100_000, description="Steps at each size.")
    optimizer: Literal["adam", "lbfgs"] = Field("adam", description="How steps are found.")
    step: float = Field(5.0, gt=0, le=255, description="Size of Adam's steps, in levels of 255.")
    average: float = Field(
        0.98,
        ge=0,
        lt=1,
        description="Share of the past in the average of steps that is kept; 0 keeps the last.",
    )
    start: Start = Field(
        "content", description="Begin from the content, from noise, or from a picture: its file."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.fast is None and not self.styles:
            raise ValueError("give a picture to paint like: `styles`")
        if self.fast is not None and self.styles:
            raise ValueError(
                "`fast` and `styles` do not go together: a trained network has its own"
            )
        if self.masks and len(self.masks) != len(self.styles):
            raise ValueError(
                f"{len(self.masks)} `masks` for {len(self.styles)} `styles`; give one for each, in "
                "the same order, or none"
            )
        if self.fast is None and not self.style_weight:
            raise ValueError("`style_weight` 0 paints nothing; give one above 0")
        return self
