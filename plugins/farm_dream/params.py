"""The dream's parameters: one declaration for flags, schema, form and validation."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from farm import FilePath, NetworkParams


def _is_layer(value: str) -> str:
    name, _, weight = value.partition("=")
    if not name:
        raise ValueError("give NAME or NAME=WEIGHT")
    if weight:
        try:
            float(weight)
        except ValueError:
            raise ValueError(f"the weight in {value!r} is no number; give NAME=0.5") from None
    return value


Layer = Annotated[str, AfterValidator(_is_layer)]


class DreamParams(NetworkParams):
    """Parameters of the dream; the defaults are the look of the 2015 notebook."""

    layers: tuple[Layer, ...] = Field(
        ("inception4c",),
        min_length=1,
        description="Layer to amplify, NAME or NAME=WEIGHT; give it several times to mix.",
        json_schema_extra={"cli": "--layer"},
    )
    channels: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (),
        description="Only this channel of the layers; may be given several times.",
        json_schema_extra={"cli": "--channel"},
    )
    neuron: tuple[float, float] | None = Field(
        None, description="Only the neuron at this place: Y X, as fractions of the picture."
    )
    classes: tuple[str, ...] = Field(
        (),
        description="Dream of a class, by name or number; may be given several times.",
        json_schema_extra={"cli": "--class"},
    )
    guide: FilePath | None = Field(None, description="Picture whose features guide the dream.")
    mask: FilePath | None = Field(
        None, description="Picture that says where to dream: white does, black does not."
    )
    start: Literal["picture", "mean", "noise"] = Field(
        "picture",
        description="Begin from the picture, or at its size from the network's mean colour or "
        "from noise around it.",
    )
    method: Literal["ascent", "enhance"] = Field(
        "ascent",
        description="ascent climbs the gradient; enhance solves, by L-BFGS, for a picture whose "
        "features are the picture's own, amplified.",
    )
    iterations: int = Field(10, ge=1, le=10_000, description="Steps in each octave.")
    octaves: int = Field(4, ge=1, le=20, description="Sizes to work through, small to large.")
    scale: float = Field(1.4, gt=1, le=4, description="Ratio of neighbouring octaves.")
    step: float = Field(
        1.5, gt=0, le=255, description="Mean change of a pixel in each step, on 0..255."
    )
    jitter: int = Field(
        32, ge=0, le=4096, description="Largest random shift before each step, in pixels."
    )
    smooth: float = Field(
        0, ge=0, le=64, description="Blur the gradient by so many pixels; 0 does not."
    )
    laplacian: int = Field(
        0, ge=0, le=8, description="Even out the gradient in so many frequency bands."
    )
    l2: float = Field(
        0, ge=0, le=10, description="Pull back towards the mean colour, per step: class pictures."
    )
    tv: float = Field(0.0, ge=0, le=1000, description="Weight of smoothness in enhance.")
    amplify: float = Field(
        2.0, gt=0, le=100, description="How much stronger enhance makes the features."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.neuron and not self.channels:
            raise ValueError("`neuron` needs a channel: give `channels`")
        if self.neuron and not all(0 <= f <= 1 for f in self.neuron):
            raise ValueError("`neuron` is given in fractions of the picture, 0 to 1")
        goals = [w for w in ("channels", "classes", "guide") if getattr(self, w)]
        if len(goals) > 1:
            raise ValueError(
                f"{' and '.join(f'`{w}`' for w in goals)} do not go together; choose one"
            )
        if self.method == "enhance" and (goals or self.start != "picture"):
            raise ValueError("enhance amplifies the picture's own features: give `layers` alone")
        return self

    def layer_weights(self) -> dict[str, float]:
        """Return the weight of each layer, 1 where none is given."""
        parts = (layer.partition("=") for layer in self.layers)
        return {name: float(weight or 1) for name, _, weight in parts}
