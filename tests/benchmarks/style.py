"""Measure style transfer by optimisation: one step, against a plain torch loop and with tiles.

    python tests/benchmarks/style.py [--size 320x240] [--tile 160] [--threads 2] [--border 512x384]

The plain loop is the classic recipe on the same network at the same size: a forward pass with
hooks at the layers, Gram matrices, mean squares, Adam. The border ratio compares differences
between neighbouring pixels across tile borders with those at other lines of the network's grid, and
is divided by the ratio of the untiled picture: 1 means that borders are invisible.
"""

import argparse
import sys
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

sys.path.append(str(Path(__file__).parents[1]))
from pictures import scene
from rounds import ratio, time_in_turn
from seams import border_ratio

from farm.engine.context import FrameContext
from farm.engine.device import set_up
from farm.engine.networks import NetworkCache
from farm.engine.weights import load_weights
from farm.host.registry import Registry
from farm.model.job import Plan
from farm_style.params import StyleParams
from farm_style.solvers import Adam
from farm_style.targets import StyleTargets
from farm_style.transfer import _loss, transfer

STYLE = ("conv1", "conv3", "inception3b", "inception4a")
CONTENT = ("conv3", "inception3b")
BORDER_TILE, STRIDE = 128, 16


def make_context(networks: NetworkCache, plan: Plan, style: Tensor) -> FrameContext:
    return FrameContext(
        device="cpu",
        plan=plan,
        networks=networks,
        frame="style",
        report=lambda *_: None,
        is_cancelled=lambda: False,
        read=lambda _: style[0].permute(1, 2, 0).numpy(),
    )


class Engine:
    """One step of the solver and the loss of the plugin."""

    def __init__(self, networks: NetworkCache, plan: Plan, image: Tensor, style: Tensor) -> None:
        params = StyleParams(styles=("style",))
        context = make_context(networks, plan, style)
        network = context.network(params.network)
        self._loss = _loss(
            StyleTargets(image, params, network, context), image, params, network, context
        )
        self._solver = Adam(params)
        self._solver.begin(image)

    def __call__(self) -> None:
        self._solver.step(self._loss)


class Plain:
    """The classic recipe: hooks, Gram matrices, mean squares, Adam."""

    def __init__(self, image: Tensor, style: Tensor) -> None:
        spec = Registry.load().networks["starter"]
        self._module = load_weights(spec, None)[0].eval().requires_grad_(requires_grad=False)
        self._mean, self._std = (torch.tensor(v).view(1, 3, 1, 1) for v in (spec.mean, spec.std))
        self._features: dict[str, Tensor] = {}
        for name in STYLE:
            self._module.get_submodule(name).register_forward_hook(self._keep(name))
        with torch.no_grad():
            self._run(style)
            self._goals = {name: gram(self._features[name]) for name in STYLE}
            self._run(image)
            self._content = {name: self._features[name] for name in CONTENT}
        self._picture = image.clone().requires_grad_()
        self._adam = torch.optim.Adam([self._picture], lr=0.02)

    def _keep(self, name: str):
        def hook(_module, _inputs, output: Tensor) -> None:
            self._features[name] = output

        return hook

    def _run(self, image: Tensor) -> None:
        self._module((image - self._mean) / self._std)

    def __call__(self) -> None:
        self._adam.zero_grad()
        self._run(self._picture)
        content = ((self._features[n] - goal).square().mean() for n, goal in self._content.items())
        style = (
            (gram(self._features[n]) - goal).square().mean() for n, goal in self._goals.items()
        )
        smooth = (self._picture.diff(dim=axis).square().mean() for axis in (2, 3))
        sum((*content, *style, *smooth)).backward()
        self._adam.step()
        self._picture.data.clamp_(0, 1)


def gram(features: Tensor) -> Tensor:
    flat = features[0].flatten(1)
    return flat @ flat.T / flat.shape[1]


def border(networks: NetworkCache, threads: int, height: int, width: int) -> float:
    image, style = scene(height, width), scene(width, height).flip(1)
    params = StyleParams(styles=("style",), scales=1, iterations=10)
    with torch.no_grad():
        tiled, whole = (
            transfer(image, params, make_context(networks, plan, style))
            for plan in (Plan(tile=BORDER_TILE, threads=threads), Plan(tile=0, threads=threads))
        )
    measure = partial(border_ratio, tile=BORDER_TILE, stride=STRIDE)
    return measure(tiled) / measure(whole)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="320x240")
    parser.add_argument("--tile", type=int, default=160)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--border", default="512x384")
    options = parser.parse_args()
    set_up("cpu", options.threads)
    width, height = map(int, options.size.split("x"))
    torch.manual_seed(0)
    image, style = torch.rand(1, 3, height, width), torch.rand(1, 3, height, width)
    networks = NetworkCache(Registry.load().network, "cpu")
    whole, tiled = (
        Plan(tile=0, threads=options.threads),
        Plan(tile=options.tile, threads=options.threads),
    )
    seconds = time_in_turn(
        {
            "plain": Plain(image, style),
            "whole": Engine(networks, whole, image, style),
            "tiled": Engine(networks, tiled, image, style),
        },
        options.rounds,
    )
    print(f"a step of Gatys' method at {options.size}, starter, {options.threads} threads")
    print(f"  speed relative to the plain loop: {ratio(seconds['plain'], seconds['whole']):.2f}")
    print(
        f"  time with tiles of {options.tile}, relative to untiled: {ratio(seconds['tiled'], seconds['whole']):.2f}"
    )
    width, height = map(int, options.border.split("x"))
    value = border(networks, options.threads, height, width)
    print(
        f"  border ratio, tiles of {BORDER_TILE} at {options.border}, float32: {value:.4f} (1: invisible)"
    )


if __name__ == "__main__":
    main()
