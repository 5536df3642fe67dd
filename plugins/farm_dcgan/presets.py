"""The recipes of `farm dcgan`: layers, initial weights, priors, losses and optimisers.

A layer is a row of a table; farm_dcgan.convnets builds modules from it. Imports no torch.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal

Activation = Literal["relu", "leaky", "tanh", "none"]
Augmentation = Literal["colour", "translation", "cutout"]
Prior = Literal["uniform", "normal"]
Padding = tuple[int, int]


class Kind(StrEnum):
    """What a layer is."""

    DENSE = "dense"
    CONV = "conv"
    UP = "transposed conv"


@dataclass(frozen=True)
class Layer:
    """A layer and what follows it: perhaps batch norm, then an activation.

    channels: outputs; those of the last layer of a network do not scale with its width. kernel,
    stride: of both sides. padding: zeros before and after each side; of a transposed convolution,
    rows that are cut off there. A dense layer has a kernel of the side of its output.
    """

    kind: Kind
    channels: int
    kernel: int
    stride: int = 1
    padding: Padding = (0, 0)
    activation: Activation = "none"
    norm: bool = False
    bias: bool = False


@dataclass(frozen=True)
class Preset:
    """A recipe. The docstring of each constant below says where its numbers come from.

    side: of the pictures, in pixels. latent: numbers in a latent, drawn from the prior.
    fresh_latents: the generator's step has latents of its own, and not the discriminator's.
    slope: of the leaky activations. deviation: of initial weights; truncated: none beyond two
    deviations; norm_deviation: of the initial scales of batch norm, around 1. momentum, epsilon:
    of batch norm. real_label: target of the discriminator for real pictures. unit_gain: whether
    Adam averages gradients, or sums them with decaying weights. clip: the largest value of a
    gradient; 0: no limit. jitter: largest relative change of brightness, contrast and saturation.
    The last eight fields are options that none of the sources has: see farm_dcgan.params.
    """

    generator: tuple[Layer, ...]
    discriminator: tuple[Layer, ...]
    side: int
    batch: int
    steps: int
    generator_rate: float
    discriminator_rate: float
    latent: int = 100
    prior: Prior = "uniform"
    fresh_latents: bool = False
    slope: float = 0.2
    deviation: float = 0.02
    truncated: bool = False
    norm_deviation: float = 0.0
    momentum: float = 0.1
    epsilon: float = 1e-5
    real_label: float = 1.0
    beta1: float = 0.5
    beta2: float = 0.999
    unit_gain: bool = True
    clip: float = 0.0
    jitter: float = 0.0
    width: float = 1.0
    discriminator_steps: int = 1
    spectral_norm: bool = False
    flip: bool = False
    augment: tuple[Augmentation, ...] = ()
    noise: float = 0.0
    noise_steps: int = 2000
    average: float = 0.999


def _up(
    channels: int, kernel: int, stride: int, padding: Padding, activation: Activation = "relu"
) -> Layer:
    """Return a transposed convolution with batch norm and without bias."""
    return Layer(Kind.UP, channels, kernel, stride, padding, activation, norm=True)


def _down(channels: int, kernel: int, padding: Padding, *, norm: bool = True) -> Layer:
    """Return a convolution that halves the sides, without bias."""
    return Layer(Kind.CONV, channels, kernel, 2, padding, "leaky", norm)


DCGAN64: Final = Preset(
    generator=(
        _up(512, 4, 1, (0, 0)),
        _up(256, 4, 2, (1, 1)),
        _up(128, 4, 2, (1, 1)),
        _up(64, 4, 2, (1, 1)),
        Layer(Kind.UP, 3, 4, 2, (1, 1), "tanh"),
    ),
    discriminator=(
        _down(64, 4, (1, 1), norm=False),
        _down(128, 4, (1, 1)),
        _down(256, 4, (1, 1)),
        _down(512, 4, (1, 1)),
        Layer(Kind.CONV, 1, 4),
    ),
    side=64,
    batch=128,
    steps=10_000,
    generator_rate=2e-4,
    discriminator_rate=2e-4,
    norm_deviation=0.02,
)
"""64x64 pictures.

Source: Radford, Metz, Chintala 2015, "Unsupervised representation learning with deep
convolutional generative adversarial networks", arXiv 1511.06434, sections 3 and 4.
Differs: the layers are those of the authors' Torch code, with 4x4 kernels and at most 512
channels; the paper draws 5x5 kernels and 1024 channels. The paper gives no number of steps.
"""

_SAME: Final = (1, 2)
"""Padding "SAME" of TensorFlow for 5x5 kernels with stride 2 and even sides."""


def _same(channels: int) -> Layer:
    return Layer(Kind.UP, channels, 5, 2, _SAME, "leaky", norm=True, bias=True)


CATS128: Final = Preset(
    generator=(
        Layer(Kind.DENSE, 1024, 8, activation="leaky", bias=True),
        _same(512),
        _same(256),
        _same(128),
        _same(64),
        Layer(Kind.UP, 3, 5, 1, (2, 2), "tanh", bias=True),
    ),
    discriminator=(
        Layer(Kind.CONV, 64, 5, 2, _SAME, "leaky", norm=True, bias=True),
        Layer(Kind.CONV, 128, 5, 2, _SAME, "leaky", norm=True, bias=True),
        Layer(Kind.CONV, 256, 5, 2, _SAME, "leaky", norm=True, bias=True),
        Layer(Kind.CONV, 512, 5, 1, (2, 2), "leaky", norm=True, bias=True),
        Layer(Kind.CONV, 1024, 5, 2, _SAME, "leaky", norm=True, bias=True),
        Layer(Kind.DENSE, 1, 1, bias=True),
    ),
    side=128,
    batch=64,
    steps=21_500,
    generator_rate=2e-4,
    discriminator_rate=5e-5,
    truncated=True,
    momentum=0.01,
)
"""128x128 pictures of cats.

Source: the TensorFlow notebook CatDCGAN, with the settings of its last run: 215 epochs of 100
batches. Convolutions have TensorFlow's "SAME" padding, and batch norm its momentum of 0.99.
Differs: real pictures are scaled to -1..1, like the generator's, and not to -0.5..0.5. They come
in a new order in each epoch, none left out. The generator's optimiser alone trains the generator,
its step alone updates the running statistics, and the discriminator's are updated too. The grid's
scaling is fixed. The label 0.9 that the article describes, and no code applies, is
`real_label`.
"""

FACES256: Final = Preset(
    generator=(
        _up(1024, 4, 1, (0, 0)),
        _up(512, 5, 2, (2, 1)),
        _up(256, 5, 2, (2, 1)),
        _up(128, 5, 2, (2, 1)),
        _up(64, 5, 2, (2, 1)),
        _up(32, 5, 2, (2, 1)),
        Layer(Kind.UP, 3, 5, 2, (2, 1), "tanh", bias=True),
    ),
    discriminator=(
        Layer(Kind.CONV, 32, 3, 2, (1, 0), "leaky", bias=True),
        _down(64, 3, (1, 0)),
        _down(128, 3, (1, 0)),
        _down(256, 3, (1, 0)),
        _down(512, 3, (1, 0)),
        _down(1024, 3, (1, 0)),
        Layer(Kind.CONV, 1, 4, bias=True),
    ),
    side=256,
    batch=16,
    steps=50_000,
    generator_rate=1e-4,
    discriminator_rate=1e-4,
    prior="normal",
    fresh_latents=True,
    beta2=0.9999986111120757**16,
    unit_gain=False,
    clip=16.0,
    jitter=0.2,
)
"""256x256 pictures of faces.

Source: the CNTK tutorial on DCGAN, as extended to 612 faces of 256x256. Padding is that of CNTK.
Adam has CNTK's default decay of the second moment, 0.9999986 per picture, and
`unit_gain` off, as CNTK documents it: the first moment is a sum.
Differs: the table of the text gives the first layer a stride of 2; the code, and this, 1. Losses are
computed from logits, not from probabilities. Running statistics of batch norm have a momentum of 0.1,
not a time constant of 5000 pictures. Saturation is jittered by blending with grey. Checkpoints and
losses are written as the run goes on, not only at its end.
"""

PRESETS: Final = {"dcgan64": DCGAN64, "cats128": CATS128, "faces256": FACES256}
