"""The generator and the discriminator, built from the layers of a preset."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Final

from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from farm.engine.training import BatchNorm2d
from farm.engine.world import ALONE, World
from farm_dcgan.presets import Kind, Layer, Preset

COLOURS: Final = 3


class Generator(nn.Module):
    """Maps latents [batch, latent] to pictures [batch, 3, side, side] in -1..1."""

    def __init__(self, preset: Preset, world: World = ALONE) -> None:
        super().__init__()
        layers = _scaled(preset.generator, preset.width)
        self.layers = nn.Sequential(*_blocks(layers, preset.latent, 1, preset, world))

    def forward(self, latents: Tensor) -> Tensor:
        pictures: Tensor = self.layers(latents[:, :, None, None])
        return pictures


class Discriminator(nn.Module):
    """Maps pictures [batch, 3, side, side] in -1..1 to logits [batch]; above 0 means real.

    With spectral norm, it has no batch norm. Source: Miyato, Kataoka, Koyama, Yoshida 2018,
    "Spectral normalization for generative adversarial networks", arXiv 1802.05957.
    """

    def __init__(self, preset: Preset, world: World = ALONE) -> None:
        super().__init__()
        layers = _scaled(preset.discriminator, preset.width)
        if preset.spectral_norm:
            layers = [replace(layer, norm=False) for layer in layers]
        self.layers = nn.Sequential(*_blocks(layers, COLOURS, preset.side, preset, world))
        if preset.spectral_norm:
            for part in list(self.modules()):
                if isinstance(part, nn.Conv2d | nn.Linear):
                    spectral_norm(part)

    def forward(self, pictures: Tensor) -> Tensor:
        logits: Tensor = self.layers(pictures)
        return logits.flatten()


class _Dense(nn.Linear):
    """A fully connected layer from [batch, channels, side, side] to [batch, channels', side', side']."""

    def __init__(self, inputs: int, channels: int, side: int, *, bias: bool) -> None:
        super().__init__(inputs, channels * side**2, bias=bias)
        self._shape = (channels, side, side)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features.flatten(1)).view(-1, *self._shape)


class _CutEnd(nn.Module):
    """Cuts rows and columns off the end."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self._count = count

    def forward(self, features: Tensor) -> Tensor:
        return features[..., : -self._count, : -self._count]


def _scaled(layers: Sequence[Layer], width: float) -> list[Layer]:
    """Return the layers with this share of their channels, except the last layer's."""
    *inner, last = layers
    return [*(replace(row, channels=max(1, round(row.channels * width))) for row in inner), last]


def _blocks(
    layers: Sequence[Layer], channels: int, side: int, preset: Preset, world: World
) -> Iterator[nn.Module]:
    """Yield a block for each layer. channels, side: of what enters the first."""
    for layer in layers:
        parts = _linear(layer, channels, side, preset)
        if layer.norm:
            norm = BatchNorm2d(
                layer.channels, world, momentum=preset.momentum, epsilon=preset.epsilon
            )
            nn.init.normal_(norm.weight, 1, preset.norm_deviation)
            parts.append(norm)
        yield nn.Sequential(*parts, *_activation(layer, preset.slope))
        channels, side = layer.channels, side_after(layer, side)


def side_after(layer: Layer, side: int) -> int:
    """Return the side of a layer's output. side: of its input."""
    match layer.kind:
        case Kind.DENSE:
            return layer.kernel
        case Kind.UP:
            return (side - 1) * layer.stride + layer.kernel - sum(layer.padding)
        case Kind.CONV:
            return (side + sum(layer.padding) - layer.kernel) // layer.stride + 1


def _linear(layer: Layer, channels: int, side: int, preset: Preset) -> list[nn.Module]:
    """Return the modules of the layer's linear part, with weights drawn from torch's generator.

    torch pads both ends alike. What is missing at the end is added, and what is too much there is
    cut off; a convolution with a stride of 2 never reaches a surplus row at the end of an even side.
    """
    before, after = layer.padding
    size = (layer.kernel, layer.stride)
    if layer.kind is Kind.DENSE:
        dense = _Dense(channels * side**2, layer.channels, layer.kernel, bias=layer.bias)
        nn.init.xavier_uniform_(dense.weight)
        return [_unbiased(dense)]
    if layer.kind is Kind.CONV and before < after:
        conv = nn.Conv2d(channels, layer.channels, *size, bias=layer.bias)
        return [nn.ZeroPad2d((before, after, before, after)), _drawn(conv, preset)]
    if layer.kind is Kind.CONV:
        return [_drawn(nn.Conv2d(channels, layer.channels, *size, before, bias=layer.bias), preset)]
    up = nn.ConvTranspose2d(
        channels, layer.channels, *size, before, max(0, before - after), bias=layer.bias
    )
    return [_drawn(up, preset), *([_CutEnd(after - before)] if before < after else [])]


def _drawn(conv: nn.Conv2d | nn.ConvTranspose2d, preset: Preset) -> nn.Module:
    """Draw the weights of a convolution; set its bias to 0."""
    deviation = preset.deviation
    if preset.truncated:
        nn.init.trunc_normal_(conv.weight, 0, deviation, -2 * deviation, 2 * deviation)
    else:
        nn.init.normal_(conv.weight, 0, deviation)
    return _unbiased(conv)


def _unbiased(module: nn.Conv2d | nn.ConvTranspose2d | nn.Linear) -> nn.Module:
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module


def _activation(layer: Layer, slope: float) -> list[nn.Module]:
    match layer.activation:
        case "relu":
            return [nn.ReLU()]
        case "leaky":
            return [nn.LeakyReLU(slope)]
        case "tanh":
            return [nn.Tanh()]
        case "none":
            return []
