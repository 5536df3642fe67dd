"""Recipes of popular programs as plain torch loops, to compare the farm with.

No code of theirs is here. Each does what its kind does: it runs the whole network with unfolded batch
norm, reads layers with hooks, and smooths, weighs and steps in the usual way. As a program, it dreams
of a picture with the starter network: python tests/benchmarks/peers.py INPUT OUTPUT
"""

import sys
from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

OCTAVES, ITERATIONS, RATIO, JITTER = 4, 10, 1.4, 32
STYLE = tuple(f"features.{number}" for number in (1, 6, 11, 20, 29))
CONTENT = "features.22"
"""Layers of VGG-19: relu1_1 to relu5_1, and relu4_2."""


class Hooked:
    """A network that runs whole, and the layers that hooks read."""

    def __init__(self, module: nn.Module, layers: tuple[str, ...]) -> None:
        self._module, self.features = module, dict[str, Tensor]()
        for layer in layers:
            module.get_submodule(layer).register_forward_hook(self._keep(layer))

    def _keep(self, layer: str):
        def hook(_module, _inputs, output: Tensor) -> None:
            self.features[layer] = output

        return hook

    def __call__(self, image: Tensor) -> dict[str, Tensor]:
        self._module(image)
        return self.features


def dream_step(network: Hooked, layer: str, image: Tensor, *, is_smoothed: bool) -> Tensor:
    """Return the image after a step along the gradient of the layer's norm, normalised."""
    down, right = torch.randint(-JITTER, JITTER + 1, (2,)).tolist()
    image = torch.roll(image, (down, right), (2, 3)).detach().requires_grad_()
    network(image)[layer].norm().backward()
    gradient = image.grad
    assert gradient is not None
    if is_smoothed:
        gradient = smoothed(gradient)
    with torch.no_grad():
        moved = image + 0.01 * gradient / gradient.abs().mean()
        return torch.roll(moved, (-down, -right), (2, 3)).clamp_(0, 1)


def smoothed(gradient: Tensor, side: int = 9) -> Tensor:
    """Return the mean of the gradient under three Gaussians, each as one kernel per channel."""
    offsets = torch.arange(side) - side // 2
    kernels = []
    for sigma in (0.5, 1.0, 2.0):
        line = torch.exp(-0.5 * (offsets / sigma) ** 2)
        kernels.append(torch.outer(line, line) / line.sum() ** 2)
    padded = F.pad(gradient, [side // 2] * 4, mode="reflect")
    weights = [kernel.expand(3, 1, -1, -1) for kernel in kernels]
    return sum(F.conv2d(padded, weight, groups=3) for weight in weights) / len(weights)


class Gatys:
    """Gram matrices, mean squares and total variation over VGG-19. optimizer: of torch.optim."""

    def __init__(self, module: nn.Module, image: Tensor, style: Tensor, *, is_lbfgs: bool) -> None:
        self._network = Hooked(module.features, tuple(n[9:] for n in (*STYLE, CONTENT)))
        with torch.no_grad():
            self._goals = {n: gram(f) for n, f in self._network(style).items() if n != CONTENT[9:]}
            self._content = self._network(image)[CONTENT[9:]].clone()
        self._picture = image.clone().requires_grad_()
        make = torch.optim.LBFGS if is_lbfgs else torch.optim.Adam
        self._optimizer = make([self._picture], lr=1.0 if is_lbfgs else 0.02)
        if is_lbfgs:
            self._optimizer.param_groups[0] |= {"max_iter": 1}

    def step(self) -> None:
        self._optimizer.step(self._evaluate)

    def _evaluate(self) -> Tensor:
        self._optimizer.zero_grad()
        features = self._network(self._picture)
        loss = (features[CONTENT[9:]] - self._content).square().mean()
        for name, goal in self._goals.items():
            loss = loss + (gram(features[name]) - goal).square().mean()
        for axis in (2, 3):
            loss = loss + self._picture.diff(dim=axis).abs().mean()
        loss.backward()
        return loss


def gram(features: Tensor) -> Tensor:
    flat = features[0].flatten(1)
    return flat @ flat.T / flat.shape[1]


class _Convolution(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, grow: int = 1):
        super().__init__()
        self.grow, self.pad = grow, nn.ReflectionPad2d(kernel // 2)
        self.convolution = nn.Conv2d(inputs, outputs, kernel, stride)

    def forward(self, image: Tensor) -> Tensor:
        if self.grow > 1:
            image = F.interpolate(image, scale_factor=self.grow)
        return self.convolution(self.pad(image))


class _Residual(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.one, self.two = (_Convolution(channels, channels, 3) for _ in range(2))
        self.norm, self.last = (nn.InstanceNorm2d(channels, affine=True) for _ in range(2))

    def forward(self, image: Tensor) -> Tensor:
        return image + self.last(self.two(F.relu(self.norm(self.one(image)))))


def johnson(width: int) -> nn.Module:
    """Return the usual net of Johnson et al. for style transfer in one pass."""

    def layer(convolution: _Convolution) -> tuple[nn.Module, ...]:
        channels = convolution.convolution.out_channels
        return convolution, nn.InstanceNorm2d(channels, affine=True), nn.ReLU()

    widths = (width, 2 * width, 4 * width)
    return nn.Sequential(
        *layer(_Convolution(3, width, 9)),
        *(m for a, b in pairwise(widths) for m in layer(_Convolution(a, b, 3, stride=2))),
        *(_Residual(4 * width) for _ in range(5)),
        *(m for a, b in pairwise(widths[::-1]) for m in layer(_Convolution(a, b, 3, grow=2))),
        _Convolution(width, 3, 9),
    ).eval()


def main(source: str, target: str) -> None:
    """Dream of a picture as a script would, from start to file."""
    from farm.engine.weights import load_weights
    from farm.host.registry import Registry

    spec = Registry.load().network("starter")
    module = load_weights(spec, None)[0].eval().requires_grad_(requires_grad=False)
    network = Hooked(module, ("inception4c",))
    pixels = np.asarray(Image.open(source).convert("RGB"), dtype=np.float32) / 255
    base = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    detail = torch.zeros(1, 3, 1, 1)
    for octave in reversed(range(OCTAVES)):
        height, width = (round(side / RATIO**octave) for side in base.shape[2:])
        small = F.interpolate(base, (height, width), mode="bilinear", antialias=True)
        image = small + F.interpolate(detail, (height, width), mode="bilinear")
        for _ in range(ITERATIONS):
            image = dream_step(network, "inception4c", image, is_smoothed=False)
        detail = image - small
    Image.fromarray((image[0].permute(1, 2, 0).numpy() * 255).astype(np.uint8)).save(target)


if __name__ == "__main__":
    main(*sys.argv[1:])
