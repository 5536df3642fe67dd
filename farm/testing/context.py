"""A context without a farm, for tests of effects and runs.

Networks and gradients are the farm's own. The engine is imported when it is first used.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from farm import storage
from farm.errors import BadInput, Cancelled
from farm.host.registry import Registry
from farm.model.job import Plan
from farm.model.specs import NetworkSpec, Part, PictureSet, Previous
from farm.settings import Settings
from farm.storage import FileDigests

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from farm.engine.context import FrameContext
    from farm.engine.networks import Network, NetworkCache
    from farm.engine.objectives import Objective
    from farm.engine.training.checkpoint import TrainState
    from farm.engine.training.contract import Detector, Observe, Step, TrainingOptions
    from farm.engine.training.rates import Supervisor
    from farm.engine.world import World

Loaded = TypeVar("Loaded")

__all__ = ["FakeContext", "Networks"]


class Networks:
    """The networks that contexts find: given ones, and those of plugins, loaded when first used."""

    def __init__(self, given: Iterable[NetworkSpec] = ()) -> None:
        self._given = {spec.name: spec for spec in given}

    @cached_property
    def cache(self) -> "NetworkCache":
        """The networks that are loaded, on the CPU."""
        from farm.engine.networks import NetworkCache

        return NetworkCache(self._find, "cpu")

    @cached_property
    def _registry(self) -> Registry:
        return Registry.load(Settings().plugins_dir)

    def _find(self, name: str) -> NetworkSpec:
        return self._given[name] if name in self._given else self._registry.network(name)


def read_picture(source: str) -> "Tensor":
    """Return a picture as an effect gets it: [1, 3, height, width] in 0..1. Raises BadInput."""
    import torch

    from farm.media import read_still
    from farm.media.blank import is_blank

    if not is_blank(source) and not storage.exists(source):
        raise BadInput(source, "no such file; check the name, or give FakeContext the picture")
    return torch.from_numpy(read_still(source).pixels).permute(2, 0, 1)[None]


class FakeContext:
    """A context for one frame on the CPU. It implements farm.Context.

    networks: to find by name, besides those of the plugins that are installed or in FARM_PLUGINS_DIR.
    pictures: what read returns, by path; it reads others from their files. picture_sets: what
    pictures returns, by source, and for part "val", by SOURCE/val. stop_at: progress of at least this
    fraction raises Cancelled. number, seconds, previous: the frame's place in a film.
    reported: every (done, note) passed to progress, in order.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        networks: Iterable[NetworkSpec] | Networks = (),
        pictures: "Mapping[str, Tensor] | None" = None,
        picture_sets: "Mapping[str, PictureSet] | None" = None,
        stop_at: float | None = None,
        number: int = 0,
        seconds: float = 0.0,
        previous: Previous | None = None,
    ) -> None:
        self._seed = seed
        self._networks = networks if isinstance(networks, Networks) else Networks(networks)
        self._pictures = {storage.absolute(at): each for at, each in (pictures or {}).items()}
        self._picture_sets = dict(picture_sets or {})
        self._stop_at = stop_at
        self.number, self.seconds, self.previous = number, seconds, previous
        self.reported: list[tuple[float, str]] = []

    @property
    def device(self) -> "torch.device":
        return self._frame.device

    @property
    def dtype(self) -> "torch.dtype":
        return self._frame.dtype

    @property
    def seed(self) -> int:
        return self._frame.seed

    @property
    def world(self) -> "World":
        from farm.engine.world import ALONE

        return ALONE

    def generator(self) -> "torch.Generator":
        return self._frame.generator()

    def progress(self, done: float, note: str = "") -> None:
        self._frame.progress(float(done), note)

    def network(self, name: str, weights: str | None = None) -> "Network":
        return self._frame.network(name, weights)

    def module(self, name: str, weights: str | None = None) -> "nn.Module":
        return self._frame.module(name, weights)

    def gradient(
        self, image: "Tensor", network: "Network", *objectives: "Objective"
    ) -> tuple[float, "Tensor"]:
        return self._frame.gradient(image, network, *objectives)

    def statistics(
        self, image: "Tensor", network: "Network", objective: "Objective"
    ) -> "dict[str, Tensor]":
        return self._frame.statistics(image, network, objective)

    def features(self, image: "Tensor", network: "Network", layer: str) -> "Tensor":
        return self._frame.features(image, network, layer)

    def apply(self, module: "nn.Module", image: "Tensor", until: float | None = None) -> "Tensor":
        return self._frame.apply(module, image, until)

    def read(self, source: str) -> "Tensor":
        given = self._pictures.get(storage.absolute(source))
        return read_picture(source) if given is None else given

    def pictures(self, source: str, part: Part = "train") -> PictureSet:
        name = source if part == "train" else f"{source}/{part}"
        if name not in self._picture_sets:
            raise BadInput(name, "FakeContext has no such pictures; add them to picture_sets")
        return self._picture_sets[name]

    def load(self, path: str, read: "Callable[[Path], Loaded]") -> "Loaded":
        return read(Path(path))

    def digest(self, path: str) -> str:
        return FileDigests().sha256(path)

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
        self._frame.train(
            state, step, options, observe=observe, detector=detector, supervisor=supervisor
        )

    def mean(self, values: "Tensor") -> float:
        return self._frame.mean(values)

    @cached_property
    def _frame(self) -> "FrameContext":
        """The farm's own context, which computes what needs a network."""
        from farm.engine.context import FrameContext

        return FrameContext(
            device="cpu",
            plan=Plan(tile=0, seed=self._seed),
            networks=self._networks.cache,
            frame="",
            report=lambda done, note, *_: self._report(done, note),
            is_cancelled=lambda: False,
            read=lambda source: self.read(source)[0].permute(1, 2, 0).numpy(),
        )

    def _report(self, done: float, note: str) -> None:
        assert 0 <= done <= 1, f"progress must be a fraction in 0..1, not {done}"
        self.reported.append((done, note))
        if self._stop_at is not None and done >= self._stop_at:
            raise Cancelled
