"""The engine against a plain torch loop doing the same dream steps, and against its convolutions.

    python tests/benchmarks/engine.py [--size 640x480] [--rounds 7] [--threads 2] [--device cpu]

The plain loop is what popular scripts do: the whole network, batch norm apart, a hook that
takes the layer. The ceiling is the dream's own convolutions, forward and input gradient, each
timed alone at its own size: what is left when everything else costs nothing.
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parent))
from rounds import ratio, time_in_turn

from farm.engine import gradient as exact
from farm.engine import objectives
from farm.engine.networks import Network
from farm_networks.torchvision_models import torchvision_spec

LAYER = "inception4c"


def make_network(name: str) -> nn.Module:
    """Return the network with seeded random weights: their values cost nothing."""
    torch.manual_seed(0)
    module = torchvision_spec(name).build().eval().requires_grad_(requires_grad=False)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight)
        if isinstance(part, nn.BatchNorm2d):
            part.reset_parameters()
    return module


def plain_step(module: nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Do one dream step the popular way."""
    seen = []
    hook = module.get_submodule(LAYER).register_forward_hook(lambda _m, _i, out: seen.append(out))
    image = torch.roll(image, (5, -7), (2, 3)).requires_grad_()
    module(image)
    hook.remove()
    seen[0].norm().backward()
    assert image.grad is not None
    with torch.no_grad():
        moved = image + 0.01 * image.grad / image.grad.abs().mean()
        return torch.roll(moved, (-5, 7), (2, 3)).clamp_(0, 1)


def engine_step(extractor, objective, image: torch.Tensor) -> torch.Tensor:
    """Do one dream step with the engine."""
    _, slope = exact.gradient(torch.roll(image, (5, -7), (2, 3)), extractor, objective, 0)
    slope *= 0.01 / (slope.abs().mean() + 1e-12)
    return torch.roll(slope, (-5, 7), (2, 3)).add_(image).clamp_(0, 1)


class Convolutions:
    """The dream's convolutions at their own sizes, apart from everything else."""

    def __init__(self, extractor: nn.Module, image: torch.Tensor) -> None:
        self.calls: list[tuple[nn.Conv2d, torch.Tensor, torch.Tensor]] = []
        hooks = [
            part.register_forward_hook(self._keep)
            for part in extractor.modules()
            if isinstance(part, nn.Conv2d)
        ]
        with torch.no_grad():
            extractor(image)
        for hook in hooks:
            hook.remove()

    def _keep(self, part: nn.Conv2d, inputs: tuple[torch.Tensor], out: torch.Tensor) -> None:
        self.calls.append((part, inputs[0].detach().requires_grad_(), torch.ones_like(out)))

    @property
    def flop(self) -> int:
        """Floating point operations of one step: forward, and as many back to the input."""
        return sum(4 * pull.numel() * part.weight[0].numel() for part, _, pull in self.calls)

    def run(self) -> None:
        """Run each one forward and back to its input."""
        for part, image, pull in self.calls:
            torch.autograd.grad(part(image), image, pull)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    width, height = map(int, given.size.split("x"))

    module = make_network("googlenet").to(given.device)
    network = Network(
        torchvision_spec("googlenet"), make_network("googlenet"), "", given.device, "float32"
    )
    extractor = network.extractor((LAYER,))
    objective = objectives.Energy({LAYER: 1.0})
    image = torch.rand(1, 3, height, width, device=given.device)
    convolutions = Convolutions(extractor, image)

    def wait(run: partial[object]) -> object:
        result = run()
        if given.device != "cpu":
            torch.cuda.synchronize()
        return result

    things = {
        "plain": partial(plain_step, module, image),
        "engine": partial(engine_step, extractor, objective, image),
        "convolutions": partial(convolutions.run),
    }
    seconds = time_in_turn({k: partial(wait, run) for k, run in things.items()}, given.rounds)
    gflop = convolutions.flop / 1e9
    print(f"googlenet to {LAYER} at {given.size}, {given.device}, {given.threads} threads")
    for name, times in seconds.items():
        print(f"  {name:<13}{median(times):8.3f} s a step (median of {given.rounds})")
    print(
        f"  engine does {gflop / median(seconds['engine']):.1f} GFLOP/s of {gflop:.1f} GFLOP a step"
    )
    print(
        f"engine against the plain loop: {ratio(seconds['plain'], seconds['engine']):.2f} times as fast"
    )
    print(
        f"engine against its convolutions: {ratio(seconds['convolutions'], seconds['engine']):.2f} of the ceiling"
    )


if __name__ == "__main__":
    main()
