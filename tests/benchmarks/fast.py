"""What painting in one pass costs: seconds at two sizes; memory, time and seams of large pictures.

    python tests/benchmarks/fast.py [--style eddies] [--threads 1] [--large 4096] [--both 2048]

Seconds are told after a warm-up. Memory is the peak resident size of a process of its own,
everything included. The border figure is that of style.py.
"""

import argparse
import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

sys.path.append(str(Path(__file__).parents[1]))
from pictures import scene
from rounds import time_in_turn
from seams import border_ratio

from farm.engine.apply import apply
from farm.engine.device import set_up
from farm.model.job import AUTO_TILE
from farm.testing import FakeContext
from farm_style import fast
from farm_style.generator import STRIDE, Generator
from farm_style.params import StyleParams

WHOLE = 2**60
BORDER_TILE = 512


class Tiles(FakeContext):
    """A context that cuts pictures into tiles."""

    def apply(self, module, image, until=None):
        return apply(module, image, AUTO_TILE)


def seconds(style: StyleParams, side: int, rounds: int = 5) -> float:
    picture = scene(side, side)
    run = {"fast": lambda: fast.render(picture, style, FakeContext())}
    return median(time_in_turn(run, rounds)["fast"])


def generator(style: StyleParams) -> Generator:
    return fast._load(str(fast.find(style.fast or "")), "cpu", torch.float32)


@torch.inference_mode()
def paint(style: StyleParams, side: int, whole: int) -> Tensor:
    return fast.paint(scene(side, side), generator(style), Tiles(), whole)


@torch.inference_mode()
def compare(style: StyleParams, side: int) -> None:
    picture = scene(side, side)
    frozen = fast.freeze(generator(style), fast.shrunk(picture, fast.WHOLE))
    whole, tiled = frozen(picture), apply(frozen, picture, BORDER_TILE)
    own = paint(style, side, WHOLE)
    apart = 255 * (tiled - own).abs()
    told = partial(border_ratio, tile=BORDER_TILE, stride=STRIDE)
    print(f"  {side}x{side} in tiles of {BORDER_TILE}, against untiled:")
    print(f"    same norms: {255 * float((tiled - whole).abs().max()):.3f} / 255 at most")
    print(f"    its own norms: {float(apart.mean()):.2f} / 255 on average")
    print(f"    borders {told(tiled) / told(whole):.4f} of 1", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--style", default="eddies")
    parser.add_argument("--threads", type=int, default=1)
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
        print(f"{time.perf_counter() - start:.0f} s, {peak:.2f} GiB")
        return
    print(f"farm style --fast {given.style}, {given.threads} threads")
    for side in (256, 512):
        print(f"  {side}x{side}: {seconds(style, side):.2f} s", flush=True)
    for side, whole in ((given.large, fast.WHOLE), (given.both, fast.WHOLE), (given.both, WHOLE)):
        command = [sys.executable, __file__, "--style", given.style]
        command += ["--threads", str(given.threads), "--child", str(side), str(whole)]
        found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        print(f"  {side}x{side} {'whole' if whole == WHOLE else 'tiled'}: {found}", flush=True)
    compare(style, given.both)


if __name__ == "__main__":
    main()
