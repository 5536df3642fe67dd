"""What plugins describe or are given: networks, samplers, pictures, and the previous frame of a film.

Names torch in types only, so that a plugin can list its networks without importing it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class Previous:
    """The previous rendered frame, warped along the motion to match the current one.

    image: [1, 3, height, width], like the frame's own. trust: [1, 1, height, width] in 0..1; 0
    where the previous frame shows nothing of the current one. unwarped: image as it was rendered.
    unwarped_source: what it was rendered from. source: that, warped as image is, so that image - source is what
    the effect had changed. Without optical flow, nothing is warped and trust is 1.
    """

    image: "Tensor"
    trust: "Tensor"
    unwarped: "Tensor"
    unwarped_source: "Tensor"
    source: "Tensor"


@dataclass(frozen=True)
class Weights:
    """Where a network's weights come from.

    file: a packaged file, with its sha256. url: returns where torch.hub downloads the file from;
    called only when it is needed. prefix: of the names in the file that belong to the network, if
    it contains more.
    """

    file: "Path | None" = None
    sha256: str | None = None
    url: Callable[[], str] | None = None
    prefix: str = ""


@dataclass(frozen=True)
class NetworkSpec:
    """A network that a plugin adds: its architecture, its weights and the input it expects.

    build: returns the module without weights; torch.fx must be able to trace it.
    mean, std: normalisation of RGB in 0..1.
    aliases: extra layer names, for example relu4_2 for features.22.
    head: the layer that the classifier reads, and a function from the module to a
    convolutional head whose output, averaged over positions, gives the class scores.
    classes: returns the names of the classes, in the order of the scores.
    build_to_train: returns the module with classifiers that only training uses; None if there are none.
    lasting_name: a name that always stands for these weights, if `name` may stand for others later;
    a job is submitted with this one.
    for_weights: returns the spec that fits a weights file of the user, where files differ in more
    than values, such as the number of classes. Without it, this spec fits all of them.
    """

    name: str
    build: "Callable[[], nn.Module]"
    weights: Weights = field(default_factory=Weights)
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    aliases: Mapping[str, str] = field(default_factory=dict)
    head: "tuple[str, Callable[[nn.Module], nn.Module]] | None" = None
    classes: Callable[[], tuple[str, ...]] = tuple
    description: str = ""
    build_to_train: "Callable[[], nn.Module] | None" = None
    lasting_name: str = ""
    for_weights: "Callable[[Path], NetworkSpec] | None" = None


Part = Literal["train", "val"]
"""A part of a set of pictures: those to train on, or those held out to measure with."""


@runtime_checkable
class PictureSet(Protocol):
    """Pictures to train on, in a fixed order; each is decoded when it is read.

    Context.pictures returns one. Any number of threads may read from it at once.
    """

    @property
    def names(self) -> Sequence[str]:
        """The name of each picture, relative to the source."""

    @property
    def labels(self) -> Sequence[int]:
        """The number of each picture's category; all 0 without categories."""

    @property
    def categories(self) -> Sequence[str]:
        """The names of the categories, by number; empty without categories."""

    @property
    def digest(self) -> str:
        """A SHA-256 that stands for the content and the label of every picture."""

    def __len__(self) -> int:
        """Return the number of pictures."""

    def read(self, number: int) -> "np.ndarray":
        """Return a picture: RGB, uint8 [height, width, 3], upright and in sRGB.

        Transparent pixels appear on white. Raises BadInput if it cannot be decoded, InputChanged if
        it is not what it was when the job was submitted, and StorageFailed if the storage fails.
        """


@runtime_checkable
class Sampler(Protocol):
    """What draws pictures from a checkpoint of a run.

    It is in evaluation mode and uses no global random generator: equal latents give equal pictures.
    """

    def latents(self, count: int, seed: int) -> "Tensor":
        """Return latents from the prior that the run trained with: [count, size], on the CPU.

        The first latents of a seed are the same for every count.
        """

    def mix(self, first: "Tensor", second: "Tensor", share: float) -> "Tensor":
        """Return latents between two of equal shape; a share of 0 gives the first, 1 the second.

        Spherical for a normal prior, whose latents would otherwise lose length on the way; linear
        for a uniform one.
        """

    def draw(self, latents: "Tensor") -> "Tensor":
        """Return a picture for each latent: [count, 3, height, width], RGB in 0..1."""
