"""The network in training: its loss, its accuracy, and the file it is exported to."""

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Self

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from farm_networks.recipe.data import UNLABELLED, Split, normalise, sample_whole
from farm_networks.recipe.teacher import BLOCK_PAIRS, FeatureExtractor
from farm_networks.starter.network import BLOCKS, BasicConv2d, StarterGoogLeNet

FEATURE_WEIGHT: Final = 1.5


class Student(nn.Module):
    """The starter network, with the layers that only its training needs.

    These are projections to the teacher's features and a head for the teacher's logits.
    """

    def __init__(self, classes: int, teacher_classes: int) -> None:
        super().__init__()
        self.network = StarterGoogLeNet(classes)
        self.projections = nn.ModuleDict(
            {p.student: nn.Conv2d(BLOCKS[p.student].out, p.components, 1) for p in BLOCK_PAIRS}
        )
        self.head = nn.Linear(self.network.fc.in_features, teacher_classes)
        self.extract = FeatureExtractor(self.network, [pair.student for pair in BLOCK_PAIRS])
        self._kept: list[nn.Module] = []

    def keep(self, block: str) -> None:
        """Leave the layers up to a block, and that block, as they are."""
        self._kept = _up_to(block, self.network)
        for module in self._kept:
            module.requires_grad_(requires_grad=False)

    def train(self, mode: bool = True) -> Self:  # noqa: FBT001, FBT002 - the signature of torch
        """Set the mode of every layer; kept ones stay in evaluation, with their statistics."""
        super().train(mode)
        for module in self._kept:
            module.eval()
        return self

    def loss(self, x: Tensor, labels: Tensor, teacher: Mapping[str, Tensor] | None) -> Tensor:
        """Return the cross-entropy, plus the distance to the teacher's outputs if given."""
        logits, features = self.extract(x)
        has_label = labels != UNLABELLED
        loss = F.cross_entropy(logits[has_label].float(), labels[has_label], label_smoothing=0.1)
        if teacher is None:
            return loss
        own = self.head(features["inception5b"].mean((2, 3)))
        loss = loss + _divergence(own, teacher["logits"]) + _divergence(logits, teacher["classes"])
        for block, projection in self.projections.items():
            own, target = projection(features[block]).float(), teacher[block]
            angle = 1 - F.cosine_similarity(own, target, dim=1).mean()
            error = F.mse_loss(own, target) / target.square().mean()
            loss = loss + FEATURE_WEIGHT * (angle + error)
        return loss

    def response_to_plain(self, plain: Tensor) -> Tensor:
        """Return the energy of each block on plain pictures, relative to that on the last pictures.

        A dream of a sky grows what responds to a sky; nothing should.
        """
        usual = {name: _energy(x).detach() for name, x in self.extract.features.items()}
        self.network.eval()
        features = self.extract(plain)[1]
        self.train()
        ratios = [(_energy(features[name]) / (usual[name] + 1e-6)).mean() for name in usual]
        return torch.stack(ratios).mean()


def _up_to(block: str, network: StarterGoogLeNet) -> list[nn.Module]:
    """Return the layers up to a block, and that block."""
    names, modules = zip(*network.named_children(), strict=True)
    return list(modules[: names.index(block) + 1])


def _divergence(own: Tensor, target: Tensor) -> Tensor:
    own, target = own.float().log_softmax(1), target.log_softmax(1)
    return F.kl_div(own, target, reduction="batchmean", log_target=True)


def _energy(features: Tensor) -> Tensor:
    return features.float().square().mean((0, 2, 3))


@torch.inference_mode()
def measure_norms(
    network: StarterGoogLeNet, pictures: Tensor, side: int, kept: str | None = None
) -> None:
    """Give batch norms the statistics of these pictures; those up to the kept block stay.

    The statistics of averaged weights are not the average of statistics: where weights turn fast,
    their average is shorter. pictures: [count, 3, ...] in 0..255.
    """
    same = {m for layer in (_up_to(kept, network) if kept else ()) for m in layer.modules()}
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m not in same]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
        norm.train()
    for part in torch.split(pictures, 100):
        network(normalise(sample_whole(part, side)))
    network.eval()


@torch.inference_mode()
def evaluate(network: StarterGoogLeNet, split: Split, side: int) -> tuple[float, dict[str, float]]:
    """Return top-1 accuracy, and per layer the fraction of channels that are 0 on every picture."""
    convolutions = [n for n, m in network.named_modules() if isinstance(m, BasicConv2d)]
    extract = FeatureExtractor(network.eval(), convolutions)
    correct, peaks = 0, dict[str, Tensor]()
    batches = zip(torch.split(split.pictures, 100), torch.split(split.labels, 100), strict=True)
    for pictures, labels in batches:
        logits, features = extract(normalise(sample_whole(pictures, side)))
        correct += int((logits.argmax(1) == labels).sum())
        for name, feature in features.items():
            peak = feature.amax((0, 2, 3))
            peaks[name] = torch.maximum(peaks.get(name, peak), peak)
    layers = defaultdict[str, list[Tensor]](list)
    for name, peak in peaks.items():
        layers[name.split(".")[0]].append(peak)
    dead = {name: float((torch.cat(all_) == 0).float().mean()) for name, all_ in layers.items()}
    return correct / len(split.labels), dead


def save_network(network: StarterGoogLeNet, path: Path, metadata: dict[str, str]) -> None:
    """Write the weights in half precision, atomically."""
    tensors = {n: t.half().contiguous() for n, t in network.state_dict().items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata)
    partial.replace(path)
