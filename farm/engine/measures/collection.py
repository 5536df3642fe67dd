"""What the measures need of a set of pictures, collected in one pass and bounded memory."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from farm.engine.measures.inception import Features, Inception
from farm.engine.measures.neighbours import Thumbnails, thumbnails
from farm.engine.measures.similarity import pair_similarity, scales
from farm.engine.measures.wasserstein import Patches, band_patches


@dataclass(frozen=True)
class Collected:
    """What a set of pictures consists of, for the measures.

    patches: by the height of their band. similarity: the mean MS-SSIM of pairs; None if there is no
    pair, or the pictures are too small. features: None without Inception.
    """

    thumbnails: Thumbnails
    patches: dict[int, Patches]
    similarity: float | None
    features: Features | None


@dataclass
class Collection:
    """Collects from batches of pictures of one size.

    patches: to take from each picture, in each band. inception: None to extract no features. Two
    sets take patches from the same places if they have the same seed, so equal sets are equal.
    """

    patches: int
    seed: int
    inception: Inception | None
    _thumbnails: list[Tensor] = field(default_factory=list)
    _patches: dict[int, list[Tensor]] = field(default_factory=dict)
    _similarities: list[Tensor] = field(default_factory=list)
    _features: list[Features] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._generator = torch.Generator().manual_seed(self.seed)

    def add(self, pictures: Float[Tensor, "batch 3 height width"]) -> None:
        """Collect from pictures in 0..1, on the CPU; give batches of an even size, except the last."""
        # what is measured is what a file would contain
        pictures = pictures.mul(255).round().div(255)
        self._thumbnails.append(thumbnails(pictures))
        for height, found in band_patches(pictures, self.patches, self._generator).items():
            self._patches.setdefault(height, []).append(found)
        if scales(*pictures.shape[2:]):
            self._similarities.append(pair_similarity(pictures))
        if self.inception:
            self._features.append(self.inception.features(pictures))

    def collected(self) -> Collected:
        """Return what has been collected. There must have been a picture."""
        similarities = torch.cat([torch.empty(0), *self._similarities])
        return Collected(
            torch.cat(self._thumbnails),
            {height: torch.cat(found) for height, found in self._patches.items()},
            float(similarities.double().mean()) if len(similarities) else None,
            self._all_features(),
        )

    def _all_features(self) -> Features | None:
        if not self._features:
            return None
        pooled, logits = (
            [getattr(f, name) for f in self._features] for name in ("pooled", "logits")
        )
        return Features(torch.cat(pooled), torch.cat(logits))
