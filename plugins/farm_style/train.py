"""Training a generator to paint like one picture: the run behind `farm train-style`.

Source: Johnson, Alahi, Fei-Fei 2016, "Perceptual losses for real-time style transfer and
super-resolution", arXiv 1603.08155.
Differs: distances are relative to the targets' own size, so that weights mean the same for any
network; crops of many scales; a rate that warms up and falls along a cosine.
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
    from farm.engine.training.checkpoint import TrainState
    from farm.engine.training.collapse import CollapseDetector
    from farm.engine.training.loop import StepResult

_KEPT: Final = 2000
"""Photographs that are kept decoded; each takes about 0.4 MB."""

_CONTENT: Final = {"relu3_3": 1.0}
"""VGG's layer that keeps the photograph, shallower than a solved style's: edges are learnt too.

Source: Johnson, Alahi, Fei-Fei 2016, section 3.2.
"""

_PICTURES: Final = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff"})


class TrainStyleParams(NetworkParams):
    """Parameters of the training.

    How the style that comes with the farm was made: styles/CARD.md.
    """

    photos: FilePath = Field(description="Folder of photographs to learn on; a few hundred do.")
    steps: int = Field(
        3600, ge=1, le=10_000_000, description="Steps in all; given more, a finished run goes on."
    )
    batch: int = Field(4, ge=1, le=1024, description="Photographs in each step.")
    side: int = Field(
        192, ge=64, le=1024, description="Pixels a side of what is looked at in each step."
    )
    style_side: int = Field(
        384,
        ge=64,
        le=4096,
        description="Pixels of the painting's shorter side: smaller gives finer strokes.",
    )
    width: int = Field(16, ge=4, le=128, description="Channels of the painter at full size.")
    blocks: int = Field(5, ge=1, le=32, description="Residual blocks of the painter.")
    content_weight: float = Field(
        0.25, ge=0, le=1e6, description="How strongly the photograph is kept."
    )
    tv: float = Field(2.0, ge=0, le=1e6, description="Weight of smoothness.")
    rate: float = Field(2e-3, gt=0, le=1, description="Size of Adam's steps.")
    every: int = Field(100, ge=1, description="Steps from one checkpoint to the next.")


class TrainStyle(Run):
    """Train a painter on one picture, for `farm style --fast`."""

    name = "train-style"
    Params = TrainStyleParams
    params: TrainStyleParams
    result = RESULT

    def check(self, context: Context) -> None:
        from farm_style import targets

        targets.usual(context.network(self.params.network, self.params.weights))
        photographs(self.params.photos)

    def train(self, inputs: tuple[str, ...], folder: Path, context: Context) -> None:
        from farm.engine.training.loop import TrainingOptions, train
        from farm_style.weights import write_generator

        if len(inputs) != 1:
            raise BadInput(inputs[-1], f"{len(inputs)} pictures to paint like; give one")
        lesson = _StyleTraining(inputs[0], self.params, context)
        state = lesson.state()
        course = TrainingOptions(folder, self.params.steps, self.params.batch, self.params.every)
        train(
            state,
            lesson.step,
            course,
            world=context.world,
            detector=lesson.detector(),
            report=lesson.report,
            show=lesson.show,
        )
        if context.world.rank == 0:
            facts = {"style": Path(inputs[0]).name, "steps": state.step, "digest": state.digest()}
            write_generator(folder / RESULT, lesson.generator, facts)


def photographs(folder: str) -> list[str]:
    """Return the photographs of a folder and of those in it. Raises BadInput."""
    path = Path(folder)
    if not path.is_dir():
        raise BadInput(folder, "no such folder of photographs")
    found = sorted(str(p) for p in path.rglob("*") if p.suffix.lower() in _PICTURES)
    if not found:
        raise BadInput(folder, "this folder has no photograph")
    return found


class _StyleTraining:
    """What one run learns: the style's statistics, the photographs, and a step."""

    def __init__(self, style: str, params: TrainStyleParams, context: Context) -> None:
        import torch

        from farm.engine.training.loop import Schedule
        from farm_style import targets
        from farm_style.generator import Generator

        self._params, self._context = params, context
        self._network: Network = context.network(params.network, params.weights)
        usual = targets.usual(self._network)
        self._style = usual.style
        known = {*_CONTENT} <= {*self._network.layers}
        self._content = _CONTENT if known else usual.content
        self._photos = photographs(params.photos)
        self._left_out: dict[str, BadInput] = {}
        self._schedule = Schedule(params.steps)
        self._read: Callable[[str], Tensor] = lru_cache(_KEPT)(self._shrunk)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(context.seed)
            self.generator = Generator(params.width, params.blocks)
        self.generator.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._extractor = self._network.extractor(
            tuple(dict.fromkeys((*self._style, *self._content)))
        )
        painting = _sized(targets.read_style(style, context), params.style_side)
        with torch.no_grad():
            found = self._extractor(painting.float())
        self._goals = {layer: _gram(found[layer]) for layer in self._style}

    def state(self) -> "TrainState":
        import torch

        from farm.engine.training.checkpoint import TrainState

        params = self._params
        optimizer = torch.optim.Adam(self.generator.parameters(), lr=params.rate)
        facts = params.model_dump(mode="json", exclude={"photos", "every", "steps", "weights"})
        facts |= {"photos": len(self._photos), "weights": self._network.digest}
        return TrainState(
            {"generator": self.generator}, {"generator": optimizer}, self._context.seed, facts
        )

    def detector(self) -> "CollapseDetector":
        from farm.engine.training.collapse import CollapseDetector

        return CollapseDetector(mean=(0.5, 0.5, 0.5), span=(-0.05, 1.05))

    def show(self) -> "Tensor":
        """Paint the first photograph."""
        import torch

        self.generator.eval()
        with torch.no_grad():
            painted: Tensor = self.generator(self._photo(0).float() / 255)
        self.generator.train()
        return painted

    def step(self, state: "TrainState", rows: range) -> "StepResult":
        import torch

        from farm.engine.training.loop import StepResult, optimizer_step

        crops = [self._crop(state, row) for row in rows]
        seen = torch.cat(crops).contiguous(memory_format=torch.channels_last)
        painted = self.generator(seen)
        losses = self._losses(seen, painted)
        total = torch.stack(list(losses.values())).sum()
        rate = self._params.rate * self._schedule.share(state.step)
        optimizer_step(state.optimizers["generator"], total, rate, self._context.world)
        return StepResult(losses, painted)

    def _losses(self, seen: "Tensor", painted: "Tensor") -> dict[str, "Tensor"]:
        """Return each loss summed over the rows, in parts of the whole batch."""
        import torch

        found = self._extractor(painted)
        with torch.no_grad():
            kept = self._extractor(seen)
        style = sum(
            weight * _far(_gram(found[layer]), self._goals[layer])
            for layer, weight in self._style.items()
        )
        content = sum(
            weight * _far(found[layer], kept[layer]) for layer, weight in self._content.items()
        )
        down, right = painted.diff(dim=2), painted.diff(dim=3)
        rough = down.square().mean((1, 2, 3)) + right.square().mean((1, 2, 3))
        batch = self._params.batch
        return {
            "style": style.sum() / batch,  # type: ignore[union-attr]
            "content": self._params.content_weight * content.sum() / batch,  # type: ignore[union-attr]
            "smoothness": self._params.tv * rough.sum() / batch,
        }

    def _crop(self, state: "TrainState", row: int) -> "Tensor":
        """Return a square of a photograph, of any size and either way round."""
        import torch

        from farm.engine.pyramid import resize
        from farm.engine.training.loop import row_generator, shuffled_index

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
        """Return a photograph; in place of one that cannot be read, the next. Raises BadInput."""
        for path in (*self._photos[first:], *self._photos[:first]):
            if path not in self._left_out:
                try:
                    return self._read(path)
                except BadInput as error:
                    self._left_out[path] = error
        raise self._left_out[self._photos[first]]

    def report(self, done: float, note: str) -> None:
        """Say how far it is, and which photographs are left out."""
        if self._left_out:
            why = next(iter(self._left_out.values()))
            note += f"; {len(self._left_out)} photographs left out, such as {why}"
        self._context.progress(done, note)

    def _shrunk(self, path: str) -> "Tensor":
        """Return a photograph, no larger than it need be, as whole numbers 0..255."""
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
    """Return second moments of the features of each picture: [batch, channels, channels]."""
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / flat.shape[2]


def _far(found: "Tensor", goal: "Tensor") -> "Tensor":
    """Return the squared distance of each picture in parts of its goal's squared size: [batch]."""
    apart = (found - goal).square().flatten(1).sum(1)
    return apart / goal.square().flatten(1).sum(1)
