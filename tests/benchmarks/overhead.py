"""Measure the farm's overhead: frames on one Ray worker, compared with the engine in a loop.

    python tests/benchmarks/overhead.py [--frames 32] [--size 640x480] [--threads 2]

The loop reads each frame, dreams it with the same context and writes it with Pillow, as a script
would. Half of it runs before the farm and half after, so that drift affects both equally. The
farm's time is measured from the first lease to the last success, on a warm worker; its startup
time is printed separately.
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
    """Draw different frames of soft noise."""
    folder.mkdir()
    paths = []
    for number in range(count):
        small = np.random.default_rng(number).integers(0, 255, (12, 16, 3), dtype=np.uint8)
        paths.append(folder / f"frame_{number:03d}.png")
        Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC).save(paths[-1])
    return paths


class Loop:
    """The engine without the farm."""

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
    """Record the times of the first lease and the last success."""

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
    """Return the seconds spent on the frames by a warm worker, and on everything before."""
    watch, start = Stopwatch(), time.perf_counter()
    pool = registry.executors["ray"](ExecutorOptions(workers=1, threads=plan.threads))
    ledger = Ledger.open(f"sqlite:///{folder / 'ledger.db'}")
    controller = Controller(registry, pool, ledger, observers=[watch])
    first = str(min(frames.iterdir()))
    for inputs in (first, str(frames)):
        watch.first = 0.0
        output = f"{folder}/out/"
        controller.add(
            JobSpec(
                task="dream",
                params=PARAMS,
                inputs=(inputs,),
                output=output,
                plan=plan,
                overwrite=True,
            )
        )
        controller.run()
    pool.close()
    ledger.close()
    return watch.last - watch.first, watch.first - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=32)
    parser.add_argument("--size", default="640x480")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    registry, plan = Registry.load(), Plan(threads=options.threads)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = draw_frames(folder / "frames", options.frames, width, height)
        loop, half = Loop(registry, plan), options.frames // 2
        loop.render(frames[0], folder / "warm.png")
        before = time_loop(loop, frames[:half], folder)
        farm, start = time_farm(registry, plan, folder / "frames", folder)
        alone = before + time_loop(loop, frames[half:], folder)
    print(f"{options.frames} frames of {options.size}, {options.threads} threads")
    print(f"  engine in a loop   {alone:7.1f} s")
    print(f"  one Ray worker     {farm:7.1f} s, after {start:.1f} s to start")
    print(f"the farm's overhead is {farm / alone - 1:+.1%} of the engine's time")


if __name__ == "__main__":
    main()
