"""Run the teacher on each view of each picture once, and store its outputs on disk."""

import importlib.util
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, cast

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F

from farm_networks.recipe.data import normalise


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


class TeacherOutputs:
    """The teacher's logits and features, computed on first use and stored in a folder.

    Features are projected onto their leading principal components, divided by the fourth root of
    the variance so that the strongest few do not dominate. They are stored in half precision,
    [round, picture, components, height, width].
    """

    def __init__(
        self, teacher: nn.Module, folder: Path, sample: Tensor, count: int, rounds: int
    ) -> None:
        self._extract = FeatureExtractor(teacher, [pair.teacher for pair in BLOCK_PAIRS])
        self._bases = self._load_bases(sample, folder / "bases.safetensors")
        outputs = self._compute(sample[:1])
        self.classes = outputs["logits"].shape[1]
        self._known = self._open(folder / "known.npy", (rounds, count), np.bool_)
        self._stored = {
            name: self._open(folder / f"{name}.npy", (rounds, count, *x.shape[1:]), np.float16)
            for name, x in outputs.items()
        }

    def get(self, round_number: int, indices: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Return logits and features for views x of the pictures at `indices`."""
        at = indices.numpy()
        new = at[~self._known[round_number, at]]
        if len(new):
            is_new = torch.isin(indices, torch.from_numpy(new))
            for name, output in self._compute(x[is_new]).items():
                self._stored[name][round_number, new] = output.numpy()
            self._known[round_number, new] = True
        return {
            name: torch.from_numpy(stored[round_number, at]).float()
            for name, stored in self._stored.items()
        }

    @staticmethod
    def _open(path: Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
        if path.exists():
            return np.lib.format.open_memmap(path, "r+")
        return np.lib.format.open_memmap(path, "w+", dtype, shape)

    @torch.no_grad()
    def _load_bases(self, sample: Tensor, path: Path) -> dict[str, Tensor]:
        """Return [1 + components, channels] per block: the mean, then the scaled components."""
        if not path.exists():
            features = self._extract(normalise(sample))[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            bases = {p.student: _basis(features[p.teacher], p.components) for p in BLOCK_PAIRS}
            save_file(bases, path)
        return load_file(path)

    @torch.no_grad()
    def _compute(self, x: Tensor) -> dict[str, Tensor]:
        logits, features = self._extract(normalise(x))
        outputs = {"logits": logits}
        for student, teacher, _ in BLOCK_PAIRS:
            mean, components = self._bases[student][0], self._bases[student][1:]
            centred = features[teacher] - mean.view(-1, 1, 1)
            outputs[student] = F.conv2d(centred, components[..., None, None])
        return outputs


def _basis(features: Tensor, components: int) -> Tensor:
    flat = features.permute(0, 2, 3, 1).flatten(0, 2)
    variances, vectors = torch.linalg.eigh(torch.cov(flat.T))
    leading = vectors[:, -components:] / variances[-components:].clamp(min=1e-6) ** 0.25
    return torch.cat([flat.mean(0, keepdim=True), leading.T]).contiguous()
