"""The networks of the presets have the published layers."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from farm.engine.training import BatchNorm2d
from farm_dcgan.convnets import Discriminator, Generator
from farm_dcgan.presets import CATS128, DCGAN64, FACES256, PRESETS, Preset

GENERATOR_SHAPES = {
    "dcgan64": [(512, 4), (256, 8), (128, 16), (64, 32), (3, 64)],
    "cats128": [(1024, 8), (512, 16), (256, 32), (128, 64), (64, 128), (3, 128)],
    "faces256": [(1024, 4), (512, 8), (256, 16), (128, 32), (64, 64), (32, 128), (3, 256)],
}
DISCRIMINATOR_SHAPES = {
    "dcgan64": [(64, 32), (128, 16), (256, 8), (512, 4), (1, 1)],
    "cats128": [(64, 64), (128, 32), (256, 16), (512, 16), (1024, 8), (1, 1)],
    "faces256": [(32, 128), (64, 64), (128, 32), (256, 16), (512, 8), (1024, 4), (1, 1)],
}
PARAMETERS = {
    "dcgan64": (3_576_704, 2_765_568),
    "cats128": (24_034_819, 17_484_289),
    "faces256": (19_104_035, 6_306_561),
}
"""Of the generator and the discriminator: 3.58 and 2.77 M, 24.0 and 17.5 M, 19.1 and 6.3 M."""

NAMES = pytest.mark.parametrize("name", PRESETS)


def build(kind: type[Generator | Discriminator], preset: Preset) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return kind(preset)


def shapes(network: nn.Module, values: torch.Tensor) -> list[tuple[int, int]]:
    found = []
    for block in network.layers:  # type: ignore[union-attr]
        values = block(values)
        assert values.shape[2] == values.shape[3]
        found.append((values.shape[1], values.shape[2]))
    return found


@NAMES
def test_each_layer_has_the_published_shape(name: str) -> None:
    preset = PRESETS[name]
    with torch.device("meta"):
        generator, discriminator = Generator(preset), Discriminator(preset)
        latents = torch.empty(2, preset.latent, 1, 1)
        pictures = torch.empty(2, 3, preset.side, preset.side)
    assert shapes(generator, latents) == GENERATOR_SHAPES[name]
    assert shapes(discriminator, pictures) == DISCRIMINATOR_SHAPES[name]
    counts = tuple(sum(p.numel() for p in net.parameters()) for net in (generator, discriminator))
    assert counts == PARAMETERS[name]


DOWN, UP = "Conv2d(s2) BatchNorm2d LeakyReLU", "ConvTranspose2d(s2) BatchNorm2d ReLU"
SAME_DOWN = "ZeroPad2d Conv2d(s2)+b BatchNorm2d LeakyReLU"
SAME_UP = "ConvTranspose2d(s2)+b _CutEnd BatchNorm2d LeakyReLU"
FIRST_UP = "ConvTranspose2d(s1) BatchNorm2d ReLU"

GENERATOR_PARTS = {
    "dcgan64": [FIRST_UP, UP, UP, UP, "ConvTranspose2d(s2) Tanh"],
    "cats128": [
        "_Dense+b LeakyReLU",
        *(SAME_UP, SAME_UP, SAME_UP, SAME_UP),
        "ConvTranspose2d(s1)+b Tanh",
    ],
    "faces256": [FIRST_UP, UP, UP, UP, UP, UP, "ConvTranspose2d(s2)+b Tanh"],
}
DISCRIMINATOR_PARTS = {
    "dcgan64": ["Conv2d(s2) LeakyReLU", DOWN, DOWN, DOWN, "Conv2d(s1)"],
    "cats128": [
        *(SAME_DOWN, SAME_DOWN, SAME_DOWN),
        "Conv2d(s1)+b BatchNorm2d LeakyReLU",
        SAME_DOWN,
        "_Dense+b",
    ],
    "faces256": ["Conv2d(s2)+b LeakyReLU", DOWN, DOWN, DOWN, DOWN, DOWN, "Conv2d(s1)+b"],
}


def describe(block: nn.Module) -> str:
    words = []
    for part in block.children():
        stride = f"(s{part.stride[0]})" if isinstance(part, nn.modules.conv._ConvNd) else ""
        is_linear = isinstance(part, nn.modules.conv._ConvNd | nn.Linear)
        bias = "+b" if is_linear and part.bias is not None else ""
        words.append(type(part).__name__ + stride + bias)
    return " ".join(words)


@NAMES
def test_each_layer_has_the_published_parts(name: str) -> None:
    preset = PRESETS[name]
    with torch.device("meta"):
        generator, discriminator = Generator(preset), Discriminator(preset)
    assert [describe(block) for block in generator.layers] == GENERATOR_PARTS[name]
    assert [describe(block) for block in discriminator.layers] == DISCRIMINATOR_PARTS[name]


@pytest.mark.slow
@NAMES
def test_initial_weights_have_the_published_deviations(name: str) -> None:
    preset = PRESETS[name]
    narrow = replace(preset, width=0.25)
    for network in (build(Generator, narrow), build(Discriminator, narrow)):
        for part in network.modules():
            if isinstance(part, nn.modules.conv._ConvNd):
                deviation = 0.0176 if preset is CATS128 else 0.02  # 0.88 after truncation
                assert float(part.weight.detach().std()) == pytest.approx(deviation, rel=0.1)
                largest = float(part.weight.detach().abs().max())
                assert (largest <= 0.04) == (preset is CATS128)
            elif isinstance(part, BatchNorm2d):
                assert float((part.weight.detach() - 1).std()) == pytest.approx(
                    0.02 if preset is DCGAN64 else 0, rel=0.5
                )
            elif isinstance(part, nn.Linear):
                limit = (6 / sum(part.weight.shape)) ** 0.5
                assert float(part.weight.detach().abs().max()) == pytest.approx(limit, rel=0.01)
            if getattr(part, "bias", None) is not None:
                assert not part.bias.any()


def impulse_response(block: nn.Module, side: int) -> list[int]:
    """Return which outputs of a row a single input reaches, with kernels of 1."""
    with torch.no_grad():
        for part in block.modules():
            if isinstance(part, nn.modules.conv._ConvNd):
                part.weight.fill_(1)
        pixel = torch.zeros(1, part_channels(block), side, side)
        pixel[..., side // 2, side // 2] = 1
        linear = [part for part in block.children() if not isinstance(part, BatchNorm2d)]
        row = nn.Sequential(*linear[: 2 if len(linear) > 2 else 1])(pixel)[0, 0].sum(0)
    return [int(index) for index in row.nonzero()]


def part_channels(block: nn.Module) -> int:
    conv = next(p for p in block.modules() if isinstance(p, nn.modules.conv._ConvNd))
    return int(conv.in_channels)


def test_padding_is_that_of_tensorflow_and_cntk() -> None:
    """An input at 4 of 8 reaches, with stride 2 and kernel 5, outputs 2*4-before .. 2*4-before+4."""
    cats = build(Generator, replace(CATS128, width=0.01))
    faces = build(Generator, replace(FACES256, width=0.01))
    assert impulse_response(cats.layers[1], 8) == [7, 8, 9, 10, 11]  # type: ignore[index]
    assert impulse_response(faces.layers[1], 8) == [6, 7, 8, 9, 10]  # type: ignore[index]


def test_width_scales_channels_but_not_pictures_or_logits() -> None:
    half = replace(DCGAN64, width=0.5)
    generator, discriminator = build(Generator, half), build(Discriminator, half)
    pictures = generator(torch.zeros(2, 100))
    assert shapes(generator, torch.zeros(2, 100, 1, 1))[0] == (256, 4)
    assert pictures.shape == (2, 3, 64, 64)
    assert discriminator(pictures).shape == (2,)


def test_spectral_norm_takes_the_place_of_batch_norm_in_the_discriminator() -> None:
    discriminator = build(Discriminator, replace(DCGAN64, width=0.1, spectral_norm=True))
    discriminator(torch.randn(4, 3, 64, 64))
    convolutions = [p for p in discriminator.modules() if isinstance(p, nn.Conv2d)]
    assert not any(isinstance(p, BatchNorm2d) for p in discriminator.modules())
    for part in convolutions:
        spectrum = torch.linalg.matrix_norm(part.weight.detach().flatten(1), 2)
        assert float(spectrum) == pytest.approx(1, abs=0.1)
