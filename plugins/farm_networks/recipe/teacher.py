"""Run the teacher on each view of each picture once, and store its outputs on disk."""

import importlib.util
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, cast

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F

from farm_networks.recipe.data import Split, normalise, sample_whole


class BlockPair(NamedTuple):
    """A student block, the teacher block it learns from, and the number of components compared."""

    student: str
    teacher: str
    components: int


BLOCK_PAIRS: Final = (
    BlockPair("inception3b", "c3", 64),
    BlockPair("inception4c", "c4", 128),
    BlockPair("inception4e", "e4", 192),
    BlockPair("inception5b", "b5", 256),
)


class FeatureExtractor:
    """Run a network and return its logits and the outputs of the named blocks."""

    def __init__(self, network: nn.Module, blocks: Sequence[str]) -> None:
        self.network = network
        self.features: dict[str, Tensor] = {}
        for block in blocks:
            network.get_submodule(block).register_forward_hook(partial(self._record, block))

    def __call__(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.network(x)
        return logits, dict(self.features)

    def _record(self, block: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self.features[block] = output


def load_teacher(source: str, weights: Path) -> nn.Module:
    """Build the network named by FILE.py:CLASS and load its weights."""
    file, _, name = source.rpartition(":")
    spec = importlib.util.spec_from_file_location("starter_teacher", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    teacher = cast("nn.Module", getattr(module, name)())
    teacher.load_state_dict(load_file(weights))
    return teacher.float().eval().to(memory_format=torch.channels_last)


class Teacher:
    """The teacher's logits and features, as the student compares them.

    Features are projected onto their leading principal components, divided by the fourth root of
    the variance so that the strongest few do not dominate, and resized to the student's grid.
    """

    def __init__(self, network: nn.Module, known: Split, side: int, scale: float) -> None:
        """Choose the components and the outputs that stand for the student's classes.

        known: pictures of every class. side: of the pictures that the teacher sees. scale: the
        student's side over the teacher's.
        """
        self.side = side
        self._scale = scale
        self._extract = FeatureExtractor(network, [pair.teacher for pair in BLOCK_PAIRS])
        outputs = [self._run(sample_whole(part, side)) for part in torch.split(known.pictures, 100)]
        logits = torch.cat([part[0] for part in outputs])
        self.outputs = logits.shape[1]
        self._classes = _match_classes(logits, known.labels)
        self._bases = {
            pair: _basis(
                torch.cat([part[1][pair.teacher] for part in outputs[::4]]), pair.components
            )
            for pair in BLOCK_PAIRS
        }

    def __call__(self, x: Tensor) -> dict[str, Tensor]:
        """Return `logits`, the `classes` among them, and features by the student's block."""
        logits, features = self._run(x)
        outputs = {"logits": logits, "classes": logits[:, self._classes]}
        for pair, basis in self._bases.items():
            centred = features[pair.teacher] - basis[0].view(-1, 1, 1)
            projected = F.conv2d(centred, basis[1:, :, None, None])
            grid = [math.ceil(length * self._scale) for length in projected.shape[2:]]
            outputs[pair.student] = F.interpolate(projected, grid, mode="bilinear", antialias=True)
        return outputs

    @torch.no_grad()
    def _run(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        with half_precision():
            logits, features = self._extract(normalise(x))
        return logits.float(), {name: feature.float() for name, feature in features.items()}


class StoredOutputs:
    """The teacher's outputs for some views of some pictures, computed on first use.

    They are stored in a folder in half precision, [round, picture, ...].
    """

    def __init__(self, teacher: Teacher, folder: Path, count: int, rounds: int) -> None:
        self._teacher, self._folder, self._shape = teacher, folder, (rounds, count)
        self._stored: dict[str, np.memmap] = {}
        folder.mkdir(parents=True, exist_ok=True)
        self._known = self._open("known", (), np.bool_)
        for path in folder.glob("*.npy"):
            if path.stem != "known":
                self._stored[path.stem] = self._open(path.stem, (), np.float16)

    def get(
        self, round_number: int, indices: Tensor, draw: Callable[[Tensor, int], Tensor]
    ) -> dict[str, Tensor]:
        """Return the outputs for the pictures at `indices`; draw makes views for a given side."""
        at = indices.numpy()
        new = at[~self._known[round_number, at]]
        if len(new):
            for name, output in self._teacher(draw(indices, self._teacher.side)).items():
                if name not in self._stored:
                    self._stored[name] = self._open(name, output.shape[1:], np.float16)
                self._stored[name][round_number, at] = output.numpy()
            self._known[round_number, at] = True
        return {
            name: torch.from_numpy(stored[round_number, at]).float()
            for name, stored in self._stored.items()
        }

    def _open(self, name: str, shape: tuple[int, ...], dtype: type) -> np.memmap:
        path = self._folder / f"{name}.npy"
        if path.exists():
            return np.lib.format.open_memmap(path, "r+")
        return np.lib.format.open_memmap(path, "w+", dtype, (*self._shape, *shape))


def half_precision() -> torch.autocast:
    """Return a context that computes in bfloat16, several times as fast where the CPU has it."""
    return torch.autocast("cpu", torch.bfloat16)


def _match_classes(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the output of the teacher that stands for each class, by its mean probability."""
    chances = logits.softmax(1)
    classes = range(int(labels.max()) + 1)
    means = torch.stack([chances[labels == label].mean(0) for label in classes])
    return means.argmax(1)


def _basis(features: Tensor, components: int) -> Tensor:
    flat = features.permute(0, 2, 3, 1).flatten(0, 2)
    variances, vectors = torch.linalg.eigh(torch.cov(flat.T))
    leading = vectors[:, -components:] / variances[-components:].clamp(min=1e-6) ** 0.25
    return torch.cat([flat.mean(0, keepdim=True), leading.T]).contiguous()
