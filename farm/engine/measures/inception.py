"""FID, KID and the Inception Score, from the features of torchvision's Inception v3.

torchmetrics computes the figures from features that are extracted here, once for all three.
torchvision's weights are another network than the one in most papers, so figures compare between
runs of the farm, and not with those of papers.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor, nn

from farm.engine.pyramid import resize
from farm.engine.training.rows import seeded
from farm.engine.weights import load_weights
from farm.errors import BadParameter, UserError
from farm.model.specs import NetworkSpec, Weights

NETWORK: Final = "inception_v3"
SIDE: Final = 299
"""Side of the pictures that the network expects; others are resized, with antialiasing."""

FID_NEEDS: Final = 10_000
"""Pictures below which the FID is clearly biased: upwards, and by the more the fewer there are."""

_SPLITS_FROM: Final = 5_000
"""Pictures from which the Inception Score is the mean of ten splits, as in its paper."""


@dataclass(frozen=True)
class Features:
    """What the network finds in a set of pictures.

    pooled: for FID and KID. logits: of the classes, for the Inception Score.
    """

    pooled: Float[Tensor, "pictures features"]
    logits: Float[Tensor, "pictures classes"]


class Inception:
    """Inception v3 with its weights. digest: SHA-256 of the weights file."""

    def __init__(self, module: nn.Module, digest: str, device: str = "cpu") -> None:
        self.digest = digest
        self._device = device
        self._head = module.get_submodule("fc").to(device)
        module.fc = nn.Identity()
        self._body = module.to(device).eval()

    @torch.no_grad()
    def features(self, pictures: Float[Tensor, "batch 3 height width"]) -> Features:
        """Return the features of pictures in 0..1, on the CPU."""
        sized = resize(pictures.to(self._device), SIDE, SIDE)
        pooled = self._body(sized * 2 - 1)
        return Features(pooled.cpu(), self._head(pooled).cpu())


def load_inception(file: str | None, device: str = "cpu") -> Inception:
    """Return Inception v3.

    file: torchvision's weights as .pth or .safetensors; None for those of torch.hub, which
    downloads them once. Raises WeightsMissing if they are not there, UserError if a file does not fit.
    """
    spec = NetworkSpec(NETWORK, _build, Weights(url=_url))
    try:
        module, digest = load_weights(spec, file)
    except BadParameter as error:
        reason = error.reason.replace("; choose the network it belongs to with --network", "")
        raise UserError(
            f"--inception: {reason}; give the weights of torchvision's {NETWORK}"
        ) from error
    return Inception(module, digest, device)


def _build() -> nn.Module:
    from torchvision.models import inception_v3

    # aux_logits: without the auxiliary classifier, which load_weights leaves out of files too
    module: nn.Module = inception_v3(weights=None, init_weights=False, aux_logits=False)
    return module


def _url() -> str:
    from torchvision.models import Inception_V3_Weights

    return str(Inception_V3_Weights.IMAGENET1K_V1.url)


def frechet_distance(real: Features, samples: Features) -> float:
    """Return the FID: 0 for equal sets.

    Source: Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter 2017, "GANs trained by a two
    time-scale update rule converge to a local Nash equilibrium", arXiv 1706.08500.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    metric = FrechetInceptionDistance(feature=_Given(real.pooled.shape[1]))
    metric.update(real.pooled.double(), real=True)
    metric.update(samples.pooled.double(), real=False)
    return float(metric.compute())


def kernel_distance(real: Features, samples: Features, seed: int) -> tuple[float, float]:
    """Return the KID and its deviation over 100 random subsets; about 0 for equal distributions.

    Unlike the FID, it has no bias for small sets. A subset has half of the smaller set, and at
    most 1,000 pictures. Source: Bińkowski, Sutherland, Arbel, Gretton 2018, "Demystifying MMD GANs",
    arXiv 1801.01401.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    smaller = min(len(real.pooled), len(samples.pooled))
    with _quiet_and_seeded(seed):
        metric = KernelInceptionDistance(
            feature=_Given(real.pooled.shape[1]), subset_size=max(2, min(1000, smaller // 2))
        )
        metric.update(real.pooled, real=True)
        metric.update(samples.pooled, real=False)
        mean, deviation = metric.compute()
    return float(mean), float(deviation)


def splits(pictures: int) -> int:
    """Return how many parts the Inception Score is the mean of: 10, or 1 for a small set."""
    return 10 if pictures >= _SPLITS_FROM else 1


def inception_score(samples: Features, seed: int) -> float:
    """Return the Inception Score: 1 at least, at most the number of classes.

    It looks at classes of ImageNet only, so it says little about pictures of a single kind. Source:
    Salimans, Goodfellow, Zaremba, Cheung, Radford, Chen 2016, "Improved techniques for training
    GANs", arXiv 1606.03498, section 4.
    """
    from torchmetrics.image.inception import InceptionScore

    logits = samples.logits
    with _quiet_and_seeded(seed):
        metric = InceptionScore(feature=_Given(logits.shape[1]), splits=splits(len(logits)))
        metric.update(logits)
        return float(metric.compute()[0])


class _Given(nn.Identity):
    """Passes on features that are there already, in place of torchmetrics' own network."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features


@contextmanager
def _quiet_and_seeded(seed: int) -> Iterator[None]:
    """Seed the global generator, which torchmetrics draws from, for the block.

    Its warnings, that it keeps all features and that one split has no deviation, are dropped.
    """
    with seeded(seed), warnings.catch_warnings(action="ignore"):
        yield
