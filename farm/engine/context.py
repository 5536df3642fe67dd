"""The context passed to a frame's render: the engine, bound to one frame of one job."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from farm.engine import gradient as exact
from farm.engine.apply import apply
from farm.engine.cache import bytes_of
from farm.engine.device import image_dtype
from farm.engine.gradient import OnTile
from farm.engine.networks import Network, NetworkCache
from farm.engine.objectives import Objective
from farm.engine.world import ALONE, World
from farm.errors import Cancelled, StorageFailed
from farm.model.job import Plan
from farm.model.messages import ReportProgress, TrainingFigures
from farm.model.specs import Part, PictureSet, Previous
from farm.storage import KnownFiles, input_path

if TYPE_CHECKING:
    from farm.engine.training.checkpoint import TrainState
    from farm.engine.training.contract import Detector, Observe, Step, TrainingOptions, Watcher
    from farm.engine.training.rates import Supervisor

Loaded = TypeVar("Loaded")


class _Shared(TypedDict):
    on_tile: OnTile
    world: World


def to_tensor(pixels: np.ndarray, device: str, plan: Plan) -> Tensor:
    """Convert [height, width, 3] to [1, 3, height, width] on the device."""
    return torch.tensor(pixels.transpose(2, 0, 1)[None], dtype=image_dtype(plan.precision)).to(
        device
    )


def to_mask(mask: np.ndarray, device: str, plan: Plan) -> Tensor:
    """Convert [height, width] to [1, 1, height, width] on the device."""
    return torch.tensor(mask[None, None], dtype=image_dtype(plan.precision)).to(device)


def to_array(image: Tensor) -> np.ndarray:
    """Convert [1, 3, height, width] to float32 [height, width, 3]."""
    return image[0].permute(1, 2, 0).to("cpu", torch.float32).numpy()


def _seed_of(seed: int, frame: str) -> int:
    if not frame:
        return seed
    digest = hashlib.sha256(f"{seed}/{frame}".encode()).digest()
    return int.from_bytes(digest[:8]) >> 1


class FrameContext:
    """The context of one frame; implements farm.host.context.Context.

    frame: what tells its random choices from those of other frames of one plan; empty for the plan's
    own seed. files: of the job,
    with the content they had when it was submitted; read checks those it reads itself. skipped: why pictures
    of a set could not be read, by name. follow: returns what follows a run in a folder. After the render,
    tiles and overlap_pixels are the number of tile passes and of pixels computed more than once;
    networks_used maps each network's name to its weights' digest.
    """

    def __init__(
        self,
        *,
        device: str,
        plan: Plan,
        networks: NetworkCache,
        frame: str,
        number: int = 0,
        seconds: float = 0.0,
        previous: Previous | None = None,
        report: ReportProgress,
        is_cancelled: Callable[[], bool],
        read: Callable[[str], np.ndarray],
        pictures: Callable[[str, Part], PictureSet] | None = None,
        skipped: Mapping[str, str] | None = None,
        world: World = ALONE,
        files: KnownFiles | None = None,
        follow: "Callable[[TrainingOptions], Watcher] | None" = None,
    ) -> None:
        self._device, self._plan, self._networks = device, plan, networks
        self._report, self._is_cancelled, self._read = report, is_cancelled, read
        self._pictures = pictures
        self._skipped = {} if skipped is None else skipped
        self.number, self.seconds, self.previous = number, seconds, previous
        self.world = world
        self._files, self._follow = files or KnownFiles(), follow
        self._done, self._note = 0.0, ""
        self._span = 0.0, 1.0
        self._seed = _seed_of(plan.seed, frame)
        self.tiles = 0
        self.overlap_pixels = 0
        self.networks_used: dict[str, str] = {}

    @property
    def device(self) -> torch.device:
        return torch.device(self._device)

    @property
    def dtype(self) -> torch.dtype:
        return image_dtype(self._plan.precision)

    @property
    def seed(self) -> int:
        return self._seed

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self._seed)

    @contextmanager
    def afresh(self, number: int, seconds: float, frame: str) -> Iterator[None]:
        """Render another frame of the film by itself: at its own time, without a previous one.

        frame: tells its random choices from those of other frames, as for the context.
        That is the first half of the progress; the frame itself is the second.
        """
        own = self.number, self.seconds, self.previous, self._seed
        self.number, self.seconds, self.previous = number, seconds, None
        self._seed = _seed_of(self._plan.seed, frame)
        self._span = 0.0, 0.5
        try:
            yield
        finally:
            self.number, self.seconds, self.previous, self._seed = own
            self._done, self._span = 0.0, (0.5, 1.0)

    def progress(self, done: float, note: str = "") -> None:
        if self._is_cancelled():
            raise Cancelled
        self._done, self._note = done, note
        start, end = self._span
        self._report(start + (end - start) * done, note, self.tiles)

    def network(self, name: str, weights: str | None = None) -> Network:
        network = self._networks.get(name, weights, self._plan.precision, self._files)
        self.networks_used[name] = network.digest
        return network

    def module(self, name: str, weights: str | None = None) -> nn.Module:
        return self._networks.module(name, weights, self._files).to(self.device)

    def gradient(
        self, image: Tensor, network: Network, *objectives: Objective
    ) -> tuple[float, Tensor]:
        layers = dict.fromkeys(layer for part in objectives for layer in part.layers)
        extractor = network.extractor(tuple(layers))
        return exact.gradient(image, extractor, objectives, self._plan.tile, **self._shared)

    def statistics(
        self, image: Tensor, network: Network, objective: Objective
    ) -> dict[str, Tensor]:
        extractor = network.extractor(objective.layers)
        return exact.statistics(image, extractor, objective, self._plan.tile, **self._shared)

    def features(self, image: Tensor, network: Network, layer: str) -> Tensor:
        extractor = network.extractor((layer,))
        return exact.features(image, extractor, self._plan.tile, **self._shared)[layer]

    def apply(self, module: nn.Module, image: Tensor, until: float | None = None) -> Tensor:
        start = self._done

        def on_progress(fraction: float) -> None:
            if until is not None:
                self._done = start + (until - start) * fraction

        return apply(module, image, self._plan.tile, on_progress=on_progress, **self._shared)

    def read(self, source: str) -> Tensor:
        return to_tensor(self._read(source), self._device, self._plan)

    def pictures(self, source: str, part: Part = "train") -> PictureSet:
        assert self._pictures, "this context was made without pictures"
        return self._pictures(source, part)

    def load(self, path: str, read: Callable[[Path], Loaded]) -> Loaded:
        digest = self._files.digest(path)

        def load() -> tuple[Loaded, int]:
            value, found = self._files.read(path, lambda: _named(read, path))
            if found != digest:
                raise StorageFailed(path, "it changed while it was read")
            return _placed(value, self.device, self.dtype), _bytes_of(value, path)

        key = (digest, read, self.device, self.dtype)
        return self._networks.loaded.get(key, load, itemgetter(1))[0]

    def digest(self, path: str) -> str:
        return self._files.digest(path)

    def train(
        self,
        state: "TrainState",
        step: "Step",
        options: "TrainingOptions",
        *,
        observe: "Observe | None" = None,
        detector: "Detector | None" = None,
        supervisor: "Supervisor | None" = None,
    ) -> None:
        from farm.engine.training.contract import Observation
        from farm.engine.training.loop import train

        train(
            state,
            step,
            options,
            world=self.world,
            detector=detector,
            supervisor=supervisor,
            observe=observe or Observation,
            report=self._report_step,
            watcher=self._follow(options) if self._follow else None,
            skipped=self._skipped,
        )

    def mean(self, values: Tensor) -> float:
        return float(values.mean(dtype=torch.float64))

    def _report_step(self, done: float, note: str, figures: TrainingFigures) -> None:
        if self._is_cancelled():
            raise Cancelled
        self._report(done, note, self.tiles, figures)

    @property
    def _shared(self) -> _Shared:
        return {"on_tile": self._count_tile, "world": self.world}

    def _count_tile(self, overlap_pixels: int) -> None:
        self.tiles += 1
        self.overlap_pixels += overlap_pixels
        self.progress(self._done, self._note)


def _named(read: Callable[[Path], Loaded], path: str) -> Loaded:
    """Return what a function reads from a file, which its errors name in a note."""
    try:
        return read(input_path(path))
    except Exception as error:
        error.add_note(f"while reading {path}")
        raise


def _placed(value: Loaded, device: torch.device, dtype: torch.dtype) -> Loaded:
    if isinstance(value, nn.Module | Tensor):
        return cast("Loaded", value.to(device, dtype))
    return value


def _bytes_of(value: object, path: str) -> int:
    """Return the bytes that a value from a file takes; the file's own if nothing better is known."""
    if isinstance(value, nn.Module):
        return bytes_of(value)
    return value.nbytes if isinstance(value, Tensor) else input_path(path).stat().st_size
