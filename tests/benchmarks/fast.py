"""Measure style transfer in one pass: time at two sizes; memory, time and seams of large pictures.

    python tests/benchmarks/fast.py [--style eddies] [--threads 1] [--large 4096] [--both 2048]

Times exclude a warm-up. Memory is the peak resident size of a separate process, everything
included. style.py explains the border ratio.
"""

import argparse
import resource
import subprocess
import sys
import time
from functools import cache, partial
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
from farm_style import fast, names
from farm_style.generator import STRIDE, Generator
from farm_style.params import StyleParams

NO_LIMIT = 2**60
BORDER_TILE = 512


class Warm(FakeContext):
    """A context that has loaded the trained network."""

    def load(self, path, read):
        return load(path, read)


@cache
def load(path, read):
    return read(Path(path))


class Tiles(Warm):
    """A context that processes pictures in tiles."""

    def apply(self, module, image, until=None):
        return apply(module, image, AUTO_TILE)


def seconds(style: StyleParams, side: int, rounds: int = 5) -> float:
    picture = scene(side, side)
    run = {"fast": lambda: fast.render(picture, style, Warm())}
    return median(time_in_turn(run, rounds)["fast"])


def generator(style: StyleParams) -> Generator:
    return load(str(names.find(style.fast or "")), fast._read)


@torch.inference_mode()
def stylise(style: StyleParams, side: int, limit: int) -> Tensor:
    return fast.stylise(scene(side, side), generator(style), Tiles(), limit)


@torch.inference_mode()
def compare(style: StyleParams, side: int) -> None:
    picture = scene(side, side)
    frozen = fast.freeze(generator(style), fast.shrink(picture, fast.UNTILED_PIXELS))
    whole, tiled = frozen(picture), apply(frozen, picture, BORDER_TILE)
    untiled = stylise(style, side, NO_LIMIT)
    difference = 255 * (tiled - untiled).abs()
    measure = partial(border_ratio, tile=BORDER_TILE, stride=STRIDE)
    print(f"  {side}x{side} in tiles of {BORDER_TILE}, compared with untiled:")
    print(f"    same norms: at most {255 * float((tiled - whole).abs().max()):.3f} / 255")
    print(f"    norms of the untiled picture: {float(difference.mean()):.2f} / 255 on average")
    print(f"    border ratio: {measure(tiled) / measure(whole):.4f} (1: invisible)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--style", default="eddies")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--large", type=int, default=4096)
    parser.add_argument("--both", type=int, default=2048)
    parser.add_argument("--child", nargs=2, type=int)
    options = parser.parse_args()
    set_up("cpu", options.threads)
    style = StyleParams(fast=options.style)
    if options.child:
        start = time.perf_counter()
        stylise(style, *options.child)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"{time.perf_counter() - start:.0f} s, {peak:.2f} GiB")
        return
    print(f"farm style --fast {options.style}, {options.threads} threads")
    tiled = fast.UNTILED_PIXELS
    for side in (256, 512):
        print(f"  {side}x{side}: {seconds(style, side):.2f} s", flush=True)
    runs = ((options.large, tiled), (options.both, tiled), (options.both, NO_LIMIT))
    for side, limit in runs:
        command = [sys.executable, __file__, "--style", options.style]
        command += ["--threads", str(options.threads), "--child", str(side), str(limit)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        print(
            f"  {side}x{side} {'untiled' if limit == NO_LIMIT else 'tiled'}: {output}", flush=True
        )
    compare(style, options.both)


if __name__ == "__main__":
    main()
