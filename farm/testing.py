"""For plugin authors' tests: a context without a farm, and a check of any effect.

A plugin's test can be as short as ``check_effect(Invert)``. torch is imported when a check runs.
"""

import json
import pickle
import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from farm.errors import BadInput, Cancelled, UnknownName
from farm.host.task import Effect, TaskParams
from farm.host.vetting import task_fault, validate_params
from farm.model.specs import Part, PictureSet, Previous
from farm.storage import FileDigests

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from farm.engine.networks import Network
    from farm.engine.objectives import Objective
    from farm.engine.training.checkpoint import TrainState
    from farm.engine.training.contract import Detector, Observe, Step, TrainingOptions
    from farm.engine.training.rates import Supervisor
    from farm.engine.world import World

Loaded = TypeVar("Loaded")

__all__ = ["FakeContext", "check_effect"]

SIZES: Final = ((48, 64), (37, 53))
"""Heights and widths of the test pictures; the second has odd sides."""


class FakeContext:
    """A context for one frame on the CPU, without networks. It implements farm.Context.

    pictures: what read returns, by source. picture_sets: what pictures returns, by source, and for
    part "val", by SOURCE/val. stop_at: progress of at least this fraction raises
    Cancelled. number, seconds, previous: the frame's place in a film.
    reported: every (done, note) passed to progress, in order.
    """

    def __init__(
        self,
        *,
        seed: int = 0,
        pictures: "Mapping[str, Tensor] | None" = None,
        picture_sets: "Mapping[str, PictureSet] | None" = None,
        stop_at: float | None = None,
        number: int = 0,
        seconds: float = 0.0,
        previous: Previous | None = None,
    ) -> None:
        self._seed = seed
        self._pictures = dict(pictures or {})
        self._picture_sets = dict(picture_sets or {})
        self._stop_at = stop_at
        self.number, self.seconds, self.previous = number, seconds, previous
        self.reported: list[tuple[float, str]] = []

    @property
    def device(self) -> "torch.device":
        import torch

        return torch.device("cpu")

    @property
    def dtype(self) -> "torch.dtype":
        import torch

        return torch.float32

    @property
    def seed(self) -> int:
        return self._seed

    @property
    def world(self) -> "World":
        from farm.engine.world import ALONE

        return ALONE

    def generator(self) -> "torch.Generator":
        import torch

        return torch.Generator().manual_seed(self._seed)

    def progress(self, done: float, note: str = "") -> None:
        assert 0 <= done <= 1, f"progress must be a fraction in 0..1, not {done}"
        self.reported.append((done, note))
        if self._stop_at is not None and done >= self._stop_at:
            raise Cancelled

    def network(self, name: str, weights: str | None = None) -> "Network":  # noqa: ARG002
        raise UnknownName("network", name, ())

    def module(self, name: str, weights: str | None = None) -> "nn.Module":  # noqa: ARG002
        raise UnknownName("network", name, ())

    def gradient(
        self, image: "Tensor", network: "Network", *objectives: "Objective"
    ) -> tuple[float, "Tensor"]:
        raise NotImplementedError("FakeContext has no networks; see farm.engine.context")

    def statistics(
        self, image: "Tensor", network: "Network", objective: "Objective"
    ) -> "dict[str, Tensor]":
        raise NotImplementedError("FakeContext has no networks; see farm.engine.context")

    def features(self, image: "Tensor", network: "Network", layer: str) -> "Tensor":
        raise NotImplementedError("FakeContext has no networks; see farm.engine.context")

    def apply(self, module: "nn.Module", image: "Tensor", until: float | None = None) -> "Tensor":
        from farm.engine.apply import apply

        result = apply(module, image, tile=0)
        if until is not None:
            self.progress(until)
        return result

    def read(self, source: str) -> "Tensor":
        if source not in self._pictures:
            raise BadInput(source, "FakeContext has no such picture; add it to pictures")
        return self._pictures[source]

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
        from farm.engine.training.contract import Observation
        from farm.engine.training.loop import train

        train(
            state,
            step,
            options,
            observe=observe or Observation,
            detector=detector,
            supervisor=supervisor,
            report=lambda done, note, _figures: self.progress(done, note),
        )

    def mean(self, values: "Tensor") -> float:
        return float(values.double().mean())


def check_effect(effect: type[Effect], params: TaskParams | None = None) -> None:
    """Assert what the farm relies on, for an effect that needs no network.

    The farm accepts the class. Its parameters have descriptions and a schema, and survive JSON and
    pickle. render keeps the size and dtype, returns finite pixels, does not change its input, uses
    no global random generator, returns the same pixels for the same seed, and stops when
    context.progress raises Cancelled. Raises AssertionError that names what failed.
    """
    fault = task_fault(effect)
    assert not fault, fault
    params = validate_params(effect, {}) if params is None else params
    _check_params(effect, params)
    for height, width in SIZES:
        image = _picture(height, width)
        _check_pixels(effect, params, image)
        _check_seed(effect, params, image)
    _check_stops(effect, params, _picture(*SIZES[0]))


def _check_params(effect: type[Effect], params: TaskParams) -> None:
    schema = effect.Params.model_json_schema()
    json.dumps(schema)
    fields = effect.Params.model_fields.items()
    undescribed = [name for name, field in fields if not field.description]
    assert not undescribed, f"parameters without a description: {', '.join(undescribed)}"
    content = json.loads(params.model_dump_json())
    assert effect.Params.model_validate(content) == params, "parameters do not survive JSON"
    assert pickle.loads(pickle.dumps(params)) == params, "parameters do not survive pickle"  # noqa: S301


def _check_pixels(effect: type[Effect], params: TaskParams, image: "Tensor") -> None:
    before = image.clone()
    result = effect(params).render(image, FakeContext())
    assert result.shape == image.shape, (
        f"render returned shape {tuple(result.shape)} for {tuple(image.shape)}; keep the size"
    )
    assert result.dtype == image.dtype, f"render returned {result.dtype} for {image.dtype}"
    assert bool(result.isfinite().all()), "render returned pixels that are not finite"
    assert bool((image == before).all()), "render changed its input; clone it first"


def _check_seed(effect: type[Effect], params: TaskParams, image: "Tensor") -> None:
    states = _global_states()
    first = effect(params).render(image.clone(), FakeContext(seed=7))
    used = [name for name, state in _global_states().items() if state != states[name]]
    assert not used, f"render used {', '.join(used)}; use context.generator()"
    again = effect(params).render(image.clone(), FakeContext(seed=7))
    difference = float((first - again).abs().max())
    assert difference == 0, f"the same seed gave different pixels, by up to {difference:g}"


def _check_stops(effect: type[Effect], params: TaskParams, image: "Tensor") -> None:
    context = FakeContext(stop_at=0.0)
    try:
        effect(params).render(image, context)
    except Cancelled:
        return
    assert not context.reported, (
        "render continued after context.progress raised Cancelled; let the exception through"
    )


def _global_states() -> dict[str, object]:
    """Return the state of every process-wide random generator, by name."""
    import numpy as np
    import torch

    readers: Sequence[tuple[str, Callable[[], object]]] = (
        ("torch's global generator", lambda: torch.get_rng_state().numpy().tobytes()),
        ("numpy.random's global generator", lambda: pickle.dumps(np.random.get_state())),  # noqa: NPY002
        ("random's global generator", random.getstate),
    )
    return {name: read() for name, read in readers}


def _picture(height: int, width: int) -> "Tensor":
    """Return a picture with smooth and detailed areas: [1, 3, height, width]."""
    import torch

    rows = torch.linspace(0, 1, height)[:, None].expand(height, width)
    columns = torch.linspace(0, 1, width)[None].expand(height, width)
    busy = (rows * 40).sin() * (columns * 30).cos() * 0.5 + 0.5
    return torch.stack((rows, columns, busy))[None].clone()
