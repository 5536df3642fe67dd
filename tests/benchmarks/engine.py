"""Compare the engine with a plain torch loop of the same dream steps, and with its convolutions.

    python tests/benchmarks/engine.py [--size 640x480] [--rounds 7] [--threads 2] [--device cpu]

The plain loop does what popular scripts do: run the whole network, with unfolded batch norm, and
take the layer's output with a hook. The ceiling is the time of the dream's convolutions only,
forward and backward to the input, each at its own size.
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
    """Return the network with seeded random weights; their values do not affect the time."""
    torch.manual_seed(0)
    module = torchvision_spec(name).build().eval().requires_grad_(requires_grad=False)
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight)
        if isinstance(part, nn.BatchNorm2d):
            part.reset_parameters()
    return module


def plain_step(module: nn.Module, image: torch.Tensor) -> torch.Tensor:
    """Do one dream step as popular scripts do."""
    outputs = []
    hook = module.get_submodule(LAYER).register_forward_hook(
        lambda _m, _i, output: outputs.append(output)
    )
    image = torch.roll(image, (5, -7), (2, 3)).requires_grad_()
    module(image)
    hook.remove()
    outputs[0].norm().backward()
    assert image.grad is not None
    with torch.no_grad():
        moved = image + 0.01 * image.grad / image.grad.abs().mean()
        return torch.roll(moved, (-5, 7), (2, 3)).clamp_(0, 1)


def engine_step(extractor, objective, image: torch.Tensor) -> torch.Tensor:
    """Do one dream step with the engine."""
    _, step = exact.gradient(torch.roll(image, (5, -7), (2, 3)), extractor, objective, 0)
    step *= 0.01 / (step.abs().mean() + 1e-12)
    return torch.roll(step, (-5, 7), (2, 3)).add_(image).clamp_(0, 1)


class Convolutions:
    """The dream's convolutions at their own sizes, without anything else."""

    def __init__(self, extractor: nn.Module, image: torch.Tensor) -> None:
        self.calls: list[tuple[nn.Conv2d, torch.Tensor, torch.Tensor]] = []
        hooks = [
            part.register_forward_hook(self._record)
            for part in extractor.modules()
            if isinstance(part, nn.Conv2d)
        ]
        with torch.no_grad():
            extractor(image)
        for hook in hooks:
            hook.remove()

    def _record(self, part: nn.Conv2d, inputs: tuple[torch.Tensor], out: torch.Tensor) -> None:
        self.calls.append((part, inputs[0].detach().requires_grad_(), torch.ones_like(out)))

    @property
    def flop(self) -> int:
        """Floating point operations of one step, forward and backward."""
        return sum(4 * output.numel() * part.weight[0].numel() for part, _, output in self.calls)

    def run(self) -> None:
        """Run each convolution forward, and backward to its input."""
        for part, image, output_gradient in self.calls:
            torch.autograd.grad(part(image), image, output_gradient)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    width, height = map(int, options.size.split("x"))

    module = make_network("googlenet").to(options.device)
    network = Network(
        torchvision_spec("googlenet"), make_network("googlenet"), "", options.device, "float32"
    )
    extractor = network.extractor((LAYER,))
    objective = objectives.Energy({LAYER: 1.0})
    image = torch.rand(1, 3, height, width, device=options.device)
    convolutions = Convolutions(extractor, image)

    def wait(run: partial[object]) -> object:
        result = run()
        if options.device != "cpu":
            torch.cuda.synchronize()
        return result

    cases = {
        "plain": partial(plain_step, module, image),
        "engine": partial(engine_step, extractor, objective, image),
        "convolutions": partial(convolutions.run),
    }
    seconds = time_in_turn({k: partial(wait, run) for k, run in cases.items()}, options.rounds)
    gflop = convolutions.flop / 1e9
    print(f"googlenet to {LAYER} at {options.size}, {options.device}, {options.threads} threads")
    for name, times in seconds.items():
        print(f"  {name:<13}{median(times):8.3f} s per step (median of {options.rounds})")
    print(f"  engine: {gflop / median(seconds['engine']):.1f} GFLOP/s, {gflop:.1f} GFLOP per step")
    print(
        f"engine compared with the plain loop: {ratio(seconds['plain'], seconds['engine']):.2f} times as fast"
    )
    print(
        f"engine compared with its convolutions: {ratio(seconds['convolutions'], seconds['engine']):.2f} of the ceiling"
    )


if __name__ == "__main__":
    main()
