"""Time the steps of `farm dcgan`: against a plain torch loop, and on two workers against one.

    python tests/benchmarks/training.py [--batch 16] [--rounds 4] [--steps 3] [--gang-rounds 2]

All runs train preset dcgan64 on the same drawn pictures, with one thread per worker; time to start
and checkpoints are left out. The plain loop has torch's own modules, the same losses and
optimisers, a moving average of the generator, and a DataLoader that decodes two batches ahead in
two processes, as the farm's Feed does in two threads. It runs between the farm's steps, a few at
a time. Workers run alone and together in turn, in rounds; the seconds of a step are the median of a run's.
"""

import argparse
import tempfile
from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import torch
import torch.nn.functional as F
from overhead import draw_frames
from PIL import Image
from rounds import ratio
from together import Workers, private_pool
from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Dataset, RandomSampler

from farm.execution.worker import Worker
from farm.host.executor import ExecutorOptions
from farm.host.registry import Registry
from farm.model.job import Plan
from farm.model.messages import Order, TrainingFigures, UnitProgress
from farm.model.unit import Unit
from farm.model.work import Train

SIDE, LATENT, RATE, DECAY = 64, 100, 2e-4, 0.999
CHANNELS = (512, 256, 128, 64)
PICTURES = 256
GANG_STEPS = 7
WARM_UP = 2
"""Steps at the start of a gang's run that are not counted."""

WITHOUT_OVERLAP = """
import farm
from farm.engine.training import optimizing

optimizing.BUCKET_BYTES = 2**62


@farm.hookimpl
def farm_tasks():
    return []
"""
"""A plugin that lets every sum of gradients wait for the end of the backward pass."""


def plain_generator() -> nn.Module:
    parts: list[nn.Module] = [nn.ConvTranspose2d(LATENT, CHANNELS[0], 4, bias=False)]
    for before, after in pairwise(CHANNELS):
        parts += [nn.BatchNorm2d(before), nn.ReLU()]
        parts.append(nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False))
    parts += [nn.BatchNorm2d(CHANNELS[-1]), nn.ReLU()]
    last = nn.ConvTranspose2d(CHANNELS[-1], 3, 4, 2, 1, bias=False)
    return nn.Sequential(*parts, last, nn.Tanh())


def plain_discriminator() -> nn.Module:
    parts: list[nn.Module] = [nn.Conv2d(3, CHANNELS[-1], 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for before, after in pairwise(reversed(CHANNELS)):
        parts.append(nn.Conv2d(before, after, 4, 2, 1, bias=False))
        parts += [nn.BatchNorm2d(after), nn.LeakyReLU(0.2)]
    return nn.Sequential(*parts, nn.Conv2d(CHANNELS[0], 1, 4, bias=False), nn.Flatten(0))


class Decoded(Dataset[Tensor]):
    """The pictures of a folder, decoded when they are asked for: [3, 64, 64] in -1..1."""

    def __init__(self, folder: Path) -> None:
        self._paths = sorted(folder.iterdir())

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, number: int) -> Tensor:
        with Image.open(self._paths[number]) as picture:
            pixels = np.array(picture.convert("RGB"))
        return torch.from_numpy(pixels).permute(2, 0, 1).float() / 127.5 - 1


def batches(folder: Path, size: int) -> Iterator[Tensor]:
    pictures = Decoded(folder)
    order = RandomSampler(pictures, replacement=True, num_samples=2**24)
    return iter(DataLoader(pictures, size, sampler=order, num_workers=2, prefetch_factor=1))


class Plain:
    """The loop of a script."""

    def __init__(self, folder: Path, batch: int) -> None:
        torch.manual_seed(0)
        self._generator, self._discriminator = plain_generator(), plain_discriminator()
        for network in (self._generator, self._discriminator):
            network.to(memory_format=torch.channels_last)
            for name, parameter in network.named_parameters():
                if name.endswith("weight") and parameter.dim() == 4:
                    nn.init.normal_(parameter, 0, 0.02)
        adam = partial(Adam, lr=RATE, betas=(0.5, 0.999))
        self._adams = [adam(n.parameters()) for n in (self._generator, self._discriminator)]
        average = get_ema_multi_avg_fn(DECAY)
        self._average = AveragedModel(self._generator, multi_avg_fn=average)
        self._batches = batches(folder, batch)

    def step(self) -> tuple[float, float]:
        """Train both networks; return their losses, as a script would print them."""
        ours, theirs = self._adams
        real = next(self._batches)
        fakes = self._generator(2 * torch.rand(len(real), LATENT, 1, 1) - 1)
        judge = loss(self._discriminator(real), 1) + loss(self._discriminator(fakes.detach()), 0)
        judge.backward()
        theirs.step()
        self._discriminator.requires_grad_(requires_grad=False)
        forge = loss(self._discriminator(fakes), 1)
        forge.backward()
        self._discriminator.requires_grad_(requires_grad=True)
        ours.step()
        for optimizer in self._adams:
            optimizer.zero_grad()
        self._average.update_parameters(self._generator)
        return judge.item(), forge.item()


def loss(logits: Tensor, label: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


class Turns:
    """Follows the farm's run. After every few of its steps, the plain loop takes as many."""

    def __init__(self, plain: Plain, steps: int) -> None:
        self._plain, self._steps, self._taken, self._since = plain, steps, 0, 0.0
        self.farm: list[float] = []
        self.plain: list[float] = []

    def report(self, *_: object) -> None:
        self._taken += 1
        if self._taken % self._steps:
            return
        now = perf_counter()
        for _step in range(self._steps):
            self._plain.step()
        if self._since:
            self.farm.append(now - self._since)
            self.plain.append(perf_counter() - now)
        self._since = perf_counter()


def make_order(folder: Path, name: str, batch: int, steps: int) -> Order:
    """Return a run whose only checkpoint is at its end."""
    work = Train((str(folder / "pictures"),))
    unit = Unit("benchmark", "run", "", str(folder / name / "generator.safetensors"), work=work)
    params = {"batch": batch, "steps": steps, "every": steps}
    return Order(unit, 1, name, "dcgan", params, Plan())


def compare_with_plain(folder: Path, options: argparse.Namespace) -> None:
    turns = Turns(Plain(folder / "pictures", options.batch), options.steps)
    steps = options.steps * (options.rounds + 1) + 1
    order = make_order(folder, "farm", options.batch, steps)
    Worker(Registry.load(), "cpu").run(order, turns.report, lambda: False)
    per_step = median(turns.farm) / options.steps
    print(f"dcgan64, batches of {options.batch}, one thread per worker")
    print(f"  a step: {per_step:.2f} s")
    print(f"  speed relative to a plain loop: {ratio(turns.plain, turns.farm):.3f}", flush=True)


def seconds_per_step(order: Order, pool: Workers, workers: int) -> tuple[float, float]:
    """Return the median seconds of a step, and those that a worker waits for others."""
    seen: dict[int, TrainingFigures] = {}

    def look(message: UnitProgress) -> None:
        if message.training and WARM_UP < message.training.step < GANG_STEPS:
            seen[message.training.step] = message.training

    pool.run(order, workers, look)
    steps = [figures.seconds for figures in seen.values()]
    return median(sum(s.values()) for s in steps), median(s.get("exchange", 0.0) for s in steps)


def compare_workers(folder: Path, options: argparse.Namespace) -> None:
    plugins = folder / "plugins"
    plugins.mkdir()
    (plugins / "without_overlap.py").write_text(WITHOUT_OVERLAP)
    seconds: dict[str, list[tuple[float, float]]] = {"one": [], "two": [], "two, no overlap": []}

    def measure(name: str, pool: Workers, workers: int) -> None:
        turn = len(seconds[name])
        order = make_order(folder, f"{name} {turn}", options.batch, GANG_STEPS)
        seconds[name].append(seconds_per_step(order, pool, workers))

    for _ in range(options.gang_rounds):
        with private_pool(ExecutorOptions(workers=2)) as pool:
            measure("one", pool, 1)
            measure("two", pool, 2)
        with private_pool(ExecutorOptions(workers=2, plugins_dir=plugins)) as pool:
            measure("two, no overlap", pool, 2)
    one, two, late = ([step for step, _ in steps] for steps in seconds.values())
    print(f"  speed of 2 workers relative to 1: {ratio(one, two):.2f}")
    print(f"    without overlap of sums and backward pass: {ratio(one, late):.2f}")
    for name, measured in seconds.items():
        step, exchange = (median(values) for values in zip(*measured, strict=True))
        print(f"    {name}: {step:.2f} s per step, of which {exchange:.2f} s in exchange")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--gang-rounds", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw_frames(folder / "pictures", PICTURES, SIDE, SIDE)
        compare_with_plain(folder, options)
        if options.gang_rounds:
            compare_workers(folder, options)


if __name__ == "__main__":
    main()
