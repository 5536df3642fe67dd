"""Compare the peak memory of one dream step on a large still, tiled and untiled.

    python tests/benchmarks/memory.py [--size 6000x4000] [--tile 768] [--network googlenet]

Each step runs in a process of its own. The figure is the process's peak resident set size, which
includes Python, torch, the network and the picture.
"""

import argparse
import resource
import subprocess
import sys

import torch

LAYER = "inception4c"


def one_step(network: str, size: str, tile: int, threads: int) -> None:
    """Do one step of one octave on a picture of noise, as a worker would."""
    from farm.engine.context import FrameContext
    from farm.engine.device import set_up
    from farm.engine.networks import Network
    from farm.host.registry import Registry
    from farm.model.job import Plan
    from farm_dream import ascent
    from farm_dream.params import DreamParams

    set_up("cpu", threads)
    spec = Registry.load().networks[network]
    module = spec.build()
    for part in module.modules():
        if isinstance(part, torch.nn.Conv2d):
            torch.nn.init.kaiming_normal_(part.weight)
        if isinstance(part, torch.nn.BatchNorm2d):
            part.reset_parameters()

    class LoadedNetworks:
        def get(self, *_: object) -> Network:
            return Network(spec, module, "", "cpu", "float32")

    context = FrameContext(
        device="cpu",
        plan=Plan(tile=tile, threads=threads),
        networks=LoadedNetworks(),
        frame="still",
        report=lambda *_: None,
        is_cancelled=lambda: False,
        read=lambda _: None,
    )
    width, height = map(int, size.split("x"))
    params = DreamParams(octaves=1, iterations=1)
    image = torch.rand(1, 3, height, width)
    with torch.no_grad():
        ascent.dream(image, params, context)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, context.tiles)


def measure(options: argparse.Namespace, tile: int) -> tuple[float, int]:
    """Run one step in a process of its own; return its peak memory in GB and its tiles."""
    command = [sys.executable, __file__, "--size", options.size, "--network", options.network]
    command += ["--threads", str(options.threads), "--step", str(tile)]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return int(out[0]) / 1e9, int(out[1])


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="6000x4000")
    parser.add_argument("--tile", type=int, default=768)
    parser.add_argument("--network", default="googlenet")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--step", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step is not None:
        one_step(options.network, options.size, options.step, options.threads)
        return
    tiled, tiles = measure(options, options.tile)
    print(f"{options.network} to {LAYER}, {options.size}")
    print(f"  --tile {options.tile}: {tiled:.2f} GB peak, {tiles} tiles", flush=True)
    whole, _ = measure(options, 0)
    print(f"  --tile none: {whole:.2f} GB peak")
    print(f"the tiled step uses {whole / tiled:.1f} times less memory")


if __name__ == "__main__":
    main()
