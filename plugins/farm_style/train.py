"""Train a style network on one style picture: the run behind `farm train-style`.

Source: Johnson, Alahi, Fei-Fei 2016, "Perceptual losses for real-time style transfer and
super-resolution", arXiv 1603.08155.
Differs: distances are relative to the norm of the targets, so that weights suit any network; crops
have many scales; the learning rate warms up and follows a cosine.
"""

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import Field

from farm import BadInput, Context, FilePath, NetworkParams, Run
from farm_style.names import RESULT

if TYPE_CHECKING:
    from torch import Tensor

    from farm.engine.networks import Network
    from farm.engine.training import CollapseDetector, Observation, StepResult, TrainState

_CACHED_PHOTOS: Final = 2000
"""Photographs to keep decoded, at about 0.4 MB each."""

_CONTENT: Final = {"relu3_3": 1.0}
"""Content layer with VGG, shallower than in transfer, so that the network also keeps edges.

Source: Johnson, Alahi, Fei-Fei 2016, section 3.2.
"""

_SUFFIXES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"})


class TrainStyleParams(NetworkParams):
    """Parameters of the training. styles/CARD.md shows how the shipped network was trained."""

    photos: FilePath = Field(
        description="Folder of photographs to train on; a few hundred are enough."
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
    rate: float = Field(2e-3, gt=0, le=1, description="Learning rate of Adam.")
    every: int = Field(100, ge=1, description="Steps between checkpoints.")


class TrainStyle(Run):
    """Train a style network on one picture, for `farm style --fast`."""

    name = "train-style"
    Params = TrainStyleParams
    params: TrainStyleParams
    result = RESULT

    def check(self, context: Context) -> None:
        from farm_style import targets

        targets.default_layers(context.network(self.params.network, self.params.weights))
        photographs(self.params.photos)

    def train(self, inputs: tuple[str, ...], folder: Path, context: Context) -> None:
        from farm.engine.training import TrainingOptions
        from farm_style.weights import write_generator

        if len(inputs) != 1:
            raise BadInput(inputs[-1], f"{len(inputs)} style pictures given; give only one")
        training = _StyleTraining(inputs[0], self.params, context)
        state = training.state()
        options = TrainingOptions(folder, self.params.steps, self.params.batch, self.params.every)
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


def photographs(folder: str) -> list[str]:
    """Return the photographs of a folder and its subfolders, except hidden ones. Raises BadInput."""
    path = Path(folder)
    if not path.is_dir():
        raise BadInput(folder, "this folder of photographs does not exist")
    found = (p for p in path.rglob("*") if p.suffix.lower() in _SUFFIXES)
    paths = sorted(str(p) for p in found if not _is_hidden(p.relative_to(path)))
    if not paths:
        raise BadInput(folder, "this folder contains no photographs")
    return paths


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


class _StyleTraining:
    """One run: the network to train, the targets of the style, the photographs and the losses."""

    def __init__(self, style: str, params: TrainStyleParams, context: Context) -> None:
        import torch

        from farm.engine.training import Schedule, seeded
        from farm_style import targets
        from farm_style.generator import Generator

        self._params, self._context, self._picture = params, context, style
        self._network: Network = context.network(params.network, params.weights)
        defaults = targets.default_layers(self._network)
        self._style = defaults.style
        has_layer = {*_CONTENT} <= {*self._network.layers}
        self._content = _CONTENT if has_layer else defaults.content
        self._photos = photographs(params.photos)
        self._unreadable: dict[str, BadInput] = {}
        self._schedule = Schedule(params.steps)
        self._read: Callable[[str], Tensor] = lru_cache(_CACHED_PHOTOS)(self._read_shrunk)
        with seeded(context.seed):
            self.generator = Generator(params.width, params.blocks)
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
        facts = params.model_dump(mode="json", exclude={"photos", "every", "steps", "weights"})
        facts |= {
            "photos": len(self._photos),
            "sha256 of the photographs": self._context.digest(params.photos),
            "sha256 of the style picture": self._context.digest(self._picture),
            "weights": self._network.digest,
        }
        return TrainState(
            {"generator": self.generator}, {"generator": optimizer}, self._context.seed, facts
        )

    def detector(self) -> "CollapseDetector":
        from farm.engine.training import CollapseDetector

        return CollapseDetector(mean=(0.5, 0.5, 0.5), span=(-0.05, 1.05))

    def observe(self) -> "Observation":
        """Show the first photograph, stylised."""
        import torch

        from farm.engine.training import Observation

        self.generator.eval()
        with torch.no_grad():
            stylised = self.generator(self._photo(0).float() / 255)
        self.generator.train()
        return Observation({"stylised": stylised})

    def step(self, state: "TrainState", rows: range) -> "StepResult":
        import torch

        from farm.engine.training import StepResult, optimizer_step

        crops = [self._crop(state, row) for row in rows]
        batch = torch.cat(crops).contiguous(memory_format=torch.channels_last)
        stylised = self.generator(batch)
        losses = self._losses(batch, stylised)
        total = torch.stack(list(losses.values())).sum()
        rate = self._params.rate * self._schedule.share(state.step)
        optimizer_step(state.optimizers["generator"], total, rate, self._context.world)
        return StepResult(losses, stylised, rate=rate, warning=self._warning())

    def _warning(self) -> str:
        if not self._unreadable:
            return ""
        error = next(iter(self._unreadable.values()))
        return f"unreadable photographs skipped: {len(self._unreadable)}, such as {error}"

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

    def _crop(self, state: "TrainState", row: int) -> "Tensor":
        """Return a random square crop of a photograph, of random size and maybe mirrored."""
        import torch

        from farm.engine.pyramid import resize
        from farm.engine.training import row_generator, shuffled_index

        number = state.step * self._params.batch + row
        photo = self._photo(shuffled_index(state.seed, len(self._photos), number))
        draw = torch.rand(4, generator=row_generator(state.seed, state.step, row)).tolist()
        shortest, side = min(photo.shape[2:]), self._params.side
        least = min(side, shortest)
        length = least + int(draw[0] * (shortest - least + 1))
        top = int(draw[1] * (photo.shape[2] - length + 1))
        left = int(draw[2] * (photo.shape[3] - length + 1))
        square = photo[..., top : top + length, left : left + length].float() / 255
        sized = resize(square, side, side)
        return sized.flip(3) if draw[3] < 0.5 else sized

    def _photo(self, first: int) -> "Tensor":
        """Return a photograph, or the next readable one. Raises BadInput if none is readable."""
        for path in (*self._photos[first:], *self._photos[:first]):
            if path not in self._unreadable:
                try:
                    return self._read(path)
                except BadInput as error:
                    self._unreadable[path] = error
        raise self._unreadable[self._photos[first]]

    def _read_shrunk(self, path: str) -> "Tensor":
        """Return a photograph, no larger than crops need, as integers in 0..255."""
        import torch

        picture = self._context.read(path)
        least = round(1.7 * self._params.side)
        if min(picture.shape[2:]) > least:
            picture = _sized(picture, least)
        return picture.clamp(0, 1).mul(255).round().to(torch.uint8)


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
