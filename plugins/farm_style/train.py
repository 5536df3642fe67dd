"""Train a style network on one style picture: the run behind `farm train-style`.

Source: Johnson, Alahi, Fei-Fei 2016, "Perceptual losses for real-time style transfer and
super-resolution", arXiv 1603.08155.
Differs: distances are relative to the norm of the targets, so that weights suit any network; crops
have many scales; the learning rate warms up and follows a cosine.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field

from farm import BadInput, BadParameter, Context, FilePath, NetworkParams, Run
from farm_style.names import RESULT, find
from farm_style.params import Trained

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor

    from farm.engine.networks import Network
    from farm.engine.training import CollapseDetector, Observation, StepResult, TrainState
    from farm_style.generator import Generator

_CONTENT: Final = {"relu3_3": 1.0}
"""Content layer with VGG, shallower than in transfer, so that the network also keeps edges.

Source: Johnson, Alahi, Fei-Fei 2016, section 3.2.
"""

_SMALLEST_CROP: Final = 1 / 1.7
"""Side of the smallest crop, as a fraction of the photograph's shorter side, where that has enough pixels."""


_NOT_FACTS: Final = {"photos", "start", "every", "steps", "weights"}
"""Parameters that a run may be resumed without, or whose contents are facts instead."""


class TrainStyleParams(NetworkParams):
    """Parameters of the training. styles/CARD.md shows how the shipped network was trained."""

    photos: FilePath = Field(
        description="Photographs to train on, a few hundred are enough: a folder, a zip, or a dataset "
        "of `farm prepare`."
    )
    steps: int = Field(
        3600, ge=1, le=10_000_000, description="Total steps. Raise it to continue a finished run."
    )
    batch: int = Field(4, ge=1, le=1024, description="Photographs per step.")
    side: int = Field(
        192, ge=64, le=1024, description="Side of the square crops to train on, in pixels."
    )
    style_side: int = Field(
        384,
        ge=64,
        le=4096,
        description="Shorter side of the style picture, in pixels; smaller gives finer strokes.",
    )
    width: int = Field(
        16, ge=4, le=128, description="Channels of the style network at full resolution."
    )
    blocks: int = Field(5, ge=1, le=32, description="Residual blocks of the style network.")
    content_weight: float = Field(
        0.25, ge=0, le=1e6, description="How strongly to keep the content of the photograph."
    )
    tv: float = Field(2.0, ge=0, le=1e6, description="Smoothness weight; higher is smoother.")
    start: Trained | None = Field(
        None,
        description="Trained style network to start from, which takes far fewer steps: its name, its "
        "file, or the folder of a run. Default: start from noise.",
    )
    rate: float = Field(2e-3, gt=0, le=1, description="Learning rate of Adam.")
    every: int = Field(100, ge=1, description="Steps between checkpoints.")


class TrainStyle(Run):
    """Train a style network on one picture, for `farm style --fast`."""

    name = "train-style"
    Params = TrainStyleParams
    params: TrainStyleParams
    result = RESULT

    def files(self) -> dict[str, str]:
        start = self.params.start
        return super().files() | ({start: str(find(start))} if start else {})

    def check(self, context: Context) -> None:
        from farm_style import targets

        targets.default_layers(context.network(self.params.network, self.params.weights))
        context.pictures(self.params.photos)
        if self.params.start:
            _read_start(self.params, context)

    def notes(self, context: Context) -> Iterable[str]:
        from farm.engine.training import notes_on_few

        return notes_on_few(context.pictures(self.params.photos), self.params.batch)

    def check_inputs(self, inputs: tuple[str, ...], context: Context) -> None:  # noqa: ARG002 - of a Run
        if len(inputs) != 1:
            raise BadInput(inputs[-1], f"{len(inputs)} style pictures given; give only one")

    def facts(self, inputs: tuple[str, ...], context: Context) -> dict[str, Any]:
        return _facts(self.params, inputs[0], context)

    def train(self, inputs: tuple[str, ...], folder: Path, context: Context) -> None:
        from farm.engine.training import TrainingOptions
        from farm_style.weights import write_generator

        training = _StyleTraining(inputs[0], self.params, context)
        state = training.state()
        options = TrainingOptions(folder, self.params.steps, self.params.batch, self.params.every)
        with training.feed:
            context.train(
                state,
                training.step,
                options,
                observe=training.observe,
                detector=training.detector(),
            )
        if context.world.rank == 0:
            facts = {"style": Path(inputs[0]).name, "steps": state.step, "digest": state.digest()}
            write_generator(folder / RESULT, training.generator, facts)


class _StyleTraining:
    """One run: the network to train, the targets of the style, the photographs and the losses."""

    def __init__(self, style: str, params: TrainStyleParams, context: Context) -> None:
        import torch

        from farm.engine.training import Feed, Schedule, seeded
        from farm_style import targets
        from farm_style.generator import Generator

        self._params, self._context, self._picture = params, context, style
        self._network: Network = context.network(params.network, params.weights)
        defaults = targets.default_layers(self._network)
        self._style = defaults.style
        has_layer = {*_CONTENT} <= {*self._network.layers}
        self._content = _CONTENT if has_layer else defaults.content
        self._photos = context.pictures(params.photos)
        self.feed = Feed(self._photos, context.seed, params.batch, self._crop)
        self._schedule = Schedule(params.steps)
        with seeded(context.seed):
            self.generator = Generator(params.width, params.blocks)
        if params.start:
            self.generator.load_state_dict(_read_start(params, context).state_dict())
        self.generator.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._extractor = self._network.extractor(
            tuple(dict.fromkeys((*self._style, *self._content)))
        )
        picture = _sized(targets.read_style(style, context), params.style_side)
        with torch.no_grad():
            features = self._extractor(picture.float())
        self._goals = {layer: _gram(features[layer]) for layer in self._style}

    def state(self) -> "TrainState":
        import torch

        from farm.engine.training import TrainState

        params = self._params
        optimizer = torch.optim.Adam(self.generator.parameters(), lr=params.rate)
        return TrainState(
            {"generator": self.generator},
            {"generator": optimizer},
            self._context.seed,
            _facts(params, self._picture, self._context),
        )

    def detector(self) -> "CollapseDetector":
        from farm.engine.training import CollapseDetector

        return CollapseDetector(mean=(0.5, 0.5, 0.5), span=(-0.05, 1.05))

    def observe(self) -> "Observation":
        """Show the first photograph, stylised."""
        import torch

        from farm.engine.training import Observation, fractions

        photo = fractions(self.feed.picture(0)[0])[None]
        shorter = min(*photo.shape[2:], round(self._params.side / _SMALLEST_CROP))
        self.generator.eval()
        with torch.no_grad():
            stylised = self.generator(_sized(photo, shorter).to(self._context.device))
        self.generator.train()
        return Observation({"stylised": stylised})

    def step(self, state: "TrainState", rows: range) -> "StepResult":
        import torch

        from farm.engine.training import StepResult, optimizer_step

        crops = self.feed.batch(state.step, rows).pictures.to(self._context.device)
        batch = crops.contiguous(memory_format=torch.channels_last)
        stylised = self.generator(batch)
        losses = self._losses(batch, stylised)
        total = torch.stack(list(losses.values())).sum()
        rate = self._params.rate * self._schedule.share(state.step)
        optimizer_step(state.optimizers["generator"], total, rate, self._context.world)
        return StepResult(losses, stylised, rate=rate, warning=self.feed.warning)

    def _losses(self, photos: "Tensor", stylised: "Tensor") -> dict[str, "Tensor"]:
        """Return each loss: the sum over these rows, divided by the size of the whole batch."""
        import torch

        features = self._extractor(stylised)
        with torch.no_grad():
            content_goals = self._extractor(photos)
        style = sum(
            weight * _relative_distance(_gram(features[layer]), self._goals[layer])
            for layer, weight in self._style.items()
        )
        content = sum(
            weight * _relative_distance(features[layer], content_goals[layer])
            for layer, weight in self._content.items()
        )
        down, right = stylised.diff(dim=2), stylised.diff(dim=3)
        rough = down.square().mean((1, 2, 3)) + right.square().mean((1, 2, 3))
        batch = self._params.batch
        return {
            "style": style.sum() / batch,  # type: ignore[union-attr]
            "content": self._params.content_weight * content.sum() / batch,  # type: ignore[union-attr]
            "smoothness": self._params.tv * rough.sum() / batch,
        }

    def _crop(self, photo: "np.ndarray", generator: "torch.Generator") -> "Tensor":
        """Return a random square crop of a photograph, of random size and maybe mirrored."""
        import torch

        from farm.engine.pyramid import resize
        from farm.engine.training import fractions

        draw = torch.rand(4, generator=generator).tolist()
        (height, width), side = photo.shape[:2], self._params.side
        shortest = min(height, width)
        least = min(shortest, max(side, round(shortest * _SMALLEST_CROP)))
        length = least + int(draw[0] * (shortest - least + 1))
        top = int(draw[1] * (height - length + 1))
        left = int(draw[2] * (width - length + 1))
        square = fractions(photo[top : top + length, left : left + length])
        sized = resize(square[None], side, side)[0]
        return sized.flip(2) if draw[3] < 0.5 else sized


def _facts(params: TrainStyleParams, style: str, context: Context) -> dict[str, Any]:
    """Return what must stay the same when a run is resumed. style: the picture."""
    photos, start = context.pictures(params.photos), params.start
    return params.model_dump(mode="json", exclude=_NOT_FACTS) | {
        "photos": len(photos),
        "sha256 of the photographs": photos.digest,
        "sha256 of the style picture": context.digest(style),
        "weights": context.network(params.network, params.weights).digest,
        "sha256 of the start": context.digest(find(start)) if start else None,
    }


def _read_start(params: TrainStyleParams, context: Context) -> "Generator":
    """Return the trained style network to start from. Raises BadParameter if its size differs."""
    from farm_style.weights import read_generator

    assert params.start
    start = context.load(str(find(params.start)), read_generator)
    if (start.width, start.blocks) != (params.width, params.blocks):
        raise BadParameter(
            "start",
            f"{params.start} has width {start.width} and {start.blocks} blocks; set `width` and "
            "`blocks` to these",
        )
    return start


def _sized(picture: "Tensor", shorter: int) -> "Tensor":
    from farm.engine.pyramid import resize

    height, width = picture.shape[2:]
    scale = shorter / min(height, width)
    return resize(picture, round(height * scale), round(width * scale))


def _gram(features: "Tensor") -> "Tensor":
    """Return the Gram matrix of each picture's features: [batch, channels, channels]."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def _relative_distance(values: "Tensor", goal: "Tensor") -> "Tensor":
    """Return each squared distance relative to the squared norm of the goal: [batch]."""
    distance = (values - goal).square().flatten(1).sum(1)
    return distance / goal.square().flatten(1).sum(1)
