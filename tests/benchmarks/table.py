"""Print the table of figures that the farm is judged by, in about ten minutes.

    python tests/benchmarks/table.py [--threads 2] [--rounds 3]

Each figure is a ratio of two sides that ran in turn; 2 means that the farm is twice as fast. Peers are
recipes written as plain loops (peers.py). Those in this process keep freed memory, as the farm's workers
do. The rows of the pool and of the control plane come from the programs that measure them. Leave the
machine alone meanwhile.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from statistics import median

import torch

sys.path.append(str(Path(__file__).parents[1]))
from engine import LAYER, Convolutions, engine_step, make_network, plain_step
from overhead import draw_frames
from peers import Gatys, Hooked, dream_step, johnson
from pictures import scene
from rounds import ratio, time_in_turn
from style import make_context

from farm.engine import objectives
from farm.engine.networks import Network
from farm.execution.heap import keep_freed_memory
from farm.model.job import Plan
from farm_networks.torchvision_models import torchvision_spec
from farm_style.generator import Generator
from farm_style.inference import rewrite
from farm_style.params import StyleParams
from farm_style.solvers import SOLVERS
from farm_style.targets import StyleTargets
from farm_style.transfer import _loss

HERE = Path(__file__).parent
Row = tuple[str, str]
"""What is compared, and the figure."""


def dream(rounds: int) -> Iterator[Row]:
    """Compare a step of the dream with two recipes and with its own convolutions."""
    image = torch.rand(1, 3, 480, 640)
    extractor = load("googlenet").extractor((LAYER,))
    objective = objectives.Energy({LAYER: 1.0})
    plain, peer = make_network("googlenet"), Hooked(make_network("googlenet"), (LAYER,))
    seconds = time_in_turn(
        {
            "plain": partial(plain_step, plain, image),
            "smoothed": partial(dream_step, peer, LAYER, image, is_smoothed=True),
            "convolutions": Convolutions(extractor, image).run,
            "farm": partial(engine_step, extractor, objective, image),
        },
        2 * rounds,
    )
    what = "dream step, GoogLeNet to 4c, 640x480"
    for side in ("plain", "smoothed"):
        yield f"{what}: {side} loop", compared(seconds, side)
    share = ratio(seconds["convolutions"], seconds["farm"])
    yield f"{what}: share of its convolutions", f"{share:.2f}"


def gatys(rounds: int) -> Iterator[Row]:
    """Compare a step of Gatys' method, and the first one of L-BFGS with everything before it."""
    network = load("vgg19")
    image, style = scene(512, 512), scene(512, 512).flip(1)
    context = make_context(Always(network), Plan(tile=0), style)

    def prepare(optimizer: str) -> Callable[[], object]:
        params = StyleParams(styles=("style",), network="vgg19", optimizer=optimizer)
        targets = StyleTargets(image, params, network, context)
        loss, solver = _loss(targets, image, params, network, context), SOLVERS[optimizer](params)
        solver.begin(image)
        return partial(solver.step, loss)

    peer = make_network("vgg19")
    adam = Gatys(peer, image, style, is_lbfgs=False)
    sides = {"plain": adam.step, "farm": prepare("adam")}
    what = "Gatys step, VGG-19, 512x512, Adam: plain loop"
    yield what, compared(time_in_turn(sides, rounds), "plain")

    def first(make: Callable[[], Callable[[], object]]) -> None:
        make()()

    sides = {
        "plain": partial(first, lambda: Gatys(peer, image, style, is_lbfgs=True).step),
        "farm": partial(first, partial(prepare, "lbfgs")),
    }
    what = "first L-BFGS step with its set-up: plain loop without a line search"
    yield what, compared(time_in_turn(sides, 1), "plain")


@torch.inference_mode()
def fast(rounds: int) -> Iterator[Row]:
    """Compare the net of --fast with the usual one of the same width."""
    image, own, usual = scene(512, 512), rewrite(Generator(32).eval()), johnson(32)
    sides = {"plain": partial(usual, image), "farm": partial(own, image)}
    yield (
        "style --fast, 512x512, width 32: usual net",
        compared(time_in_turn(sides, rounds), "plain"),
    )


def commands(rounds: int, threads: int) -> Iterator[Row]:
    """Compare whole commands with a script that dreams, from the start of the process to the file."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = draw_frames(folder / "frames", 8, 480, 360)
        (large,) = draw_frames(folder / "large", 1, 640, 480)
        (tiny,) = draw_frames(folder / "tiny", 1, 160, 120)
        script = partial(run, [sys.executable, str(HERE / "peers.py")], folder, threads)
        farm = partial(run, [sys.executable, "-m", "farm", "dream"], folder, threads)
        for what, source in (("640x480", large), ("160x120", tiny)):
            sides = {
                "plain": partial(script, str(source), str(folder / "plain.png")),
                "farm": partial(
                    farm, str(source), "-o", str(folder / "farm.png"), f"--threads={threads}"
                ),
            }
            seconds = time_in_turn(sides, rounds)
            yield f"whole command, 4 octaves x 10, {what}: script", compared(seconds, "plain")
        output = ("-o", f"{folder}/out/")
        sides = {
            "one": partial(farm, str(frames[0].parent), *output, "--workers=1", "--threads=1"),
            "local": partial(farm, str(frames[0].parent), *output, f"--threads={threads}"),
        }
        seconds = time_in_turn(sides, 1)
        figure = f"{ratio(seconds['one'], seconds['local']):.2f}"
        yield f"command, 8 stills of 480x360 locally with {threads} threads: one worker", figure


def run(command: list[str], folder: Path, threads: int, *words: str) -> None:
    """Run a command with a new ledger, over whatever was there."""
    for target in (*folder.glob("*.png"), *folder.glob("out/*"), *folder.glob("ledger.db*")):
        target.unlink()
    settings = {"FARM_LEDGER": str(folder / "ledger.db"), "OMP_NUM_THREADS": str(threads)}
    subprocess.run([*command, *words], check=True, capture_output=True, env=os.environ | settings)


def others() -> Iterator[Row]:
    """Yield what the programs of the pool and of the control plane print."""
    for program in ("scaling.py", "gang.py", "control.py"):
        output = subprocess.check_output([sys.executable, str(HERE / program)], text=True)
        for line in output.splitlines():
            yield line, ""


class Always:
    """A cache that holds one network, whatever its name."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def get(self, *_: object) -> Network:
        return self._network


def load(name: str) -> Network:
    return Network(torchvision_spec(name), make_network(name), "", "cpu", "float32")


def compared(seconds: Mapping[str, list[float]], side: str) -> str:
    """Return how many times as fast as a side the farm is, and its seconds."""
    return f"{ratio(seconds[side], seconds['farm']):.2f}  ({median(seconds['farm']):.2f} s)"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(options.threads)
    tables = (dream(options.rounds), gatys(options.rounds), fast(options.rounds))
    for rows in (*tables, commands(options.rounds, options.threads), others()):
        for what, figure in rows:
            print(f"{what:<72}{figure}", flush=True)


if __name__ == "__main__":
    main()
