"""Painting in one pass: seconds at two sizes, and what a large picture takes, tiled against whole.

    python tests/benchmarks/fast.py [--style eddies] [--threads 2] [--large 4096] [--both 2048]

Memory is the peak resident size of a process of its own, everything included. The seam figure is
how much neighbouring pixels differ across tile borders, in parts of how much they do nearby, over
the same figure of the untiled picture: 1 means that the borders cannot be told.
"""

import argparse
import resource
import subprocess
import sys
import time

import torch
from torch import Tensor

from farm.engine.apply import apply
from farm.engine.device import set_up
from farm.engine.pyramid import resize
from farm.job import AUTO_TILE
from farm.testing import FakeContext
from farm_style import fast
from farm_style.params import StyleParams

WHOLE = 2**60


class Tiles(FakeContext):
    """A context that cuts pictures into tiles."""

    def apply(self, module, image):
        return apply(module, image, AUTO_TILE)


def scene(side: int) -> Tensor:
    """Return noise of all sizes, which no photograph lacks."""
    draw = torch.Generator().manual_seed(0)
    picture = torch.full((1, 3, side, side), 0.5)
    for cells in (4, 16, 64, side // 8, side // 2):
        noise = torch.rand(1, 3, cells, cells, generator=draw) - 0.5
        picture += 0.35 * resize(noise, side, side)
    return picture.clamp(0, 1)


def seconds(style: StyleParams, side: int, rounds: int = 5) -> float:
    picture, taken = scene(side), []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        fast.render(picture, style, FakeContext())
        taken.append(time.perf_counter() - start)
    return sorted(taken[1:])[rounds // 2]


@torch.inference_mode()
def paint(style: StyleParams, side: int, whole: int) -> Tensor:
    generator = fast._load(str(fast.find(style.fast or "")), "cpu", torch.float32)
    return fast.paint(scene(side), generator, Tiles(), whole)


def crossing(picture: Tensor, tile: int) -> float:
    """Return how much pixels differ across tile borders, in parts of how much nearby."""
    shares = []
    for axis in (2, 3):
        steps = picture.diff(dim=axis).abs().mean((0, 1, 5 - axis))
        borders = torch.arange(tile - 1, len(steps), tile)
        near = torch.cat([borders + away for away in range(-16, 17) if away])
        shares.append(float(steps[borders].mean() / steps[near].mean()))
    return sum(shares) / 2


def compare(style: StyleParams, side: int) -> None:
    with torch.inference_mode():
        generator = fast._load(str(fast.find(style.fast or "")), "cpu", torch.float32)
        frozen = fast.freeze(generator, fast.shrunk(scene(side), fast.WHOLE))
        same = frozen(scene(side))
    tiled, own = paint(style, side, fast.WHOLE), paint(style, side, WHOLE)
    print(f"  {side}x{side}, tiled against untiled:")
    print(f"    same norms: largest difference {255 * float((tiled - same).abs().max()):.3f} / 255")
    apart = 255 * (tiled - own).abs()
    print(
        f"    its own norms: {float(apart.mean()):.2f} on average, {float(apart.max()):.0f} at most"
    )
    seam = crossing(tiled, AUTO_TILE) / crossing(same, AUTO_TILE)
    print(f"    seam {seam:.4f} of 1")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--style", default="eddies")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--large", type=int, default=4096)
    parser.add_argument("--both", type=int, default=2048)
    parser.add_argument("--child", nargs=2, type=int)
    given = parser.parse_args()
    set_up("cpu", given.threads)
    style = StyleParams(fast=given.style)
    if given.child:
        start = time.perf_counter()
        paint(style, *given.child)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{peak:.2f} GiB, {time.perf_counter() - start:.0f} s")
        return
    print(f"{given.style} on {given.threads} threads")
    for side in (256, 512):
        print(f"  {side}x{side}: {seconds(style, side):.2f} s")
    for side, whole in ((given.large, fast.WHOLE), (given.both, fast.WHOLE), (given.both, WHOLE)):
        command = [sys.executable, __file__, "--style", given.style]
        command += ["--threads", str(given.threads), "--child", str(side), str(whole)]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        print(f"  {side}x{side} {'whole' if whole == WHOLE else 'tiled'}: {found}", flush=True)
    compare(style, given.both)


if __name__ == "__main__":
    main()
