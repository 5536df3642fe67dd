"""What the farm costs: frames on one Ray worker against the engine alone in a loop.

    python tests/benchmarks/overhead.py [--frames 32] [--size 640x480] [--threads 2]

The loop reads each frame, dreams it with the same context and writes it with Pillow, as a script
would; half of it runs before the farm and half after, so that drift hits both alike. The farm's
time is from the first frame handed out to the last one recorded, on a worker that is warm, as the
loop is; what it takes to start is told apart.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from farm.control.controller import Controller
from farm.engine.context import FrameContext, to_array, to_tensor
from farm.engine.device import set_up
from farm.engine.networks import NetworkCache
from farm.host.executor import ExecutorOptions
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.events import UnitChanged
from farm.model.job import JobSpec, Plan
from farm.model.unit import UnitState

PARAMS = {"octaves": 3, "iterations": 10}


def draw_frames(folder: Path, count: int, width: int, height: int) -> list[Path]:
    """Draw frames of soft noise, each its own."""
    folder.mkdir()
    paths = []
    for number in range(count):
        small = np.random.default_rng(number).integers(0, 255, (12, 16, 3), dtype=np.uint8)
        paths.append(folder / f"frame_{number:03d}.png")
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(paths[-1])
    return paths


class Loop:
    """The engine alone."""

    def __init__(self, registry: Registry, plan: Plan) -> None:
        set_up("cpu", plan.threads)
        task = registry.task("dream")
        self._plan, self._effect = plan, task(task.Params(**PARAMS))
        self._networks = NetworkCache(registry.network, "cpu")

    def render(self, source: Path, target: Path) -> None:
        context = FrameContext(
            device="cpu",
            plan=self._plan,
            networks=self._networks,
            frame=source.stem,
            report=lambda *_: None,
            is_cancelled=lambda: False,
            read=lambda _: None,
        )
        pixels = np.asarray(Image.open(source), dtype=np.float32) / 255
        dreamt = to_array(self._effect.render(to_tensor(pixels, "cpu", self._plan), context))
        Image.fromarray((dreamt * 255).round().astype(np.uint8)).save(target)


class Stopwatch:
    """Hears when the first frame went out and the last came in."""

    def __init__(self) -> None:
        self.first = self.last = 0.0

    def on_event(self, event: object) -> None:
        if isinstance(event, UnitChanged) and event.state is UnitState.LEASED:
            self.first = self.first or time.perf_counter()
        if isinstance(event, UnitChanged) and event.state is UnitState.SUCCEEDED:
            self.last = time.perf_counter()


def time_loop(loop: Loop, frames: list[Path], folder: Path) -> float:
    start = time.perf_counter()
    for frame in frames:
        loop.render(frame, folder / frame.name)
    return time.perf_counter() - start


def time_farm(registry: Registry, plan: Plan, frames: Path, folder: Path) -> tuple[float, float]:
    """Return seconds of the frames on a warm worker, and of everything before."""
    watch, begin = Stopwatch(), time.perf_counter()
    pool = registry.executors["ray"](ExecutorOptions(workers=1, threads=plan.threads))
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}")
    controller = Controller(registry, pool, ledger, observers=[watch])
    first = str(min(frames.iterdir()))
    for inputs in (first, str(frames)):
        watch.first = 0.0
        output = f"{folder}/out/"
        controller.submit(
            JobSpec(task="dream", params=PARAMS, inputs=(inputs,), output=output, plan=plan)
        )
        controller.run()
    pool.close()
    ledger.close()
    return watch.last - watch.first, watch.first - begin


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    width, height = map(int, given.size.split("x"))
    registry, plan = Registry.load(), Plan(threads=given.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = draw_frames(folder / "frames", given.frames, width, height)
        loop, half = Loop(registry, plan), given.frames // 2
        loop.render(frames[0], folder / "warm.png")
        before = time_loop(loop, frames[:half], folder)
        farm, start = time_farm(registry, plan, folder / "frames", folder)
        alone = before + time_loop(loop, frames[half:], folder)
    print(f"{given.frames} frames of {given.size}, {given.threads} threads")
    print(f"  engine alone       {alone:7.1f} s")
    print(f"  one Ray worker     {farm:7.1f} s, after {start:.1f} s to start")
    print(f"the farm takes {farm / alone - 1:+.1%} of the engine's time")


if __name__ == "__main__":
    main()
