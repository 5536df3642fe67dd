"""Measure the gain from a second worker for frames, beside what the machine itself allows.

    python tests/benchmarks/scaling.py [--frames 8] [--size 480x360]

Workers have one thread each and are warm. The machine's side renders the same frames with the engine
alone, in one process and then in two at once: cores that share memory and cache do not double.
"""

import argparse
import secrets
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from overhead import PARAMS, Loop, draw_frames
from rounds import ratio, time_in_turn
from together import Workers, private_pool

from farm.host.executor import ExecutorOptions
from farm.host.registry import Registry
from farm.model.job import Plan
from farm.model.messages import Order
from farm.model.unit import Unit

PLAN = Plan(threads=1)
ROUNDS = 3


def orders(frames: list[Path], folder: Path) -> list[Order]:
    """Return a new order for each frame."""
    job = secrets.token_hex(8)
    units = [Unit(job, path.stem, str(path), str(folder / path.name)) for path in frames]
    return [
        Order(unit, 1, f"{job}-{number}", "dream", PARAMS, PLAN)
        for number, unit in enumerate(units)
    ]


def farm_seconds(frames: list[Path], folder: Path) -> dict[str, list[float]]:
    """Return the seconds of all frames on one and on two warm workers, in turn."""

    def render(pool: Workers, workers: int) -> None:
        pool.deal(orders(frames, folder), workers)

    with private_pool(ExecutorOptions(workers=2)) as pool:
        sides = {"one": partial(render, pool, 1), "two": partial(render, pool, 2)}
        return time_in_turn(sides, ROUNDS)


def engine_seconds(frames: list[Path], folder: Path) -> dict[str, list[float]]:
    """Return the seconds of all frames in one and in two processes, in turn."""
    with ProcessPoolExecutor(2, get_context("spawn"), initializer=prepare) as processes:

        def render(count: int) -> None:
            parts = [frames[number::count] for number in range(count)]
            list(processes.map(partial(render_alone, folder), parts))

        return time_in_turn({"one": partial(render, 1), "two": partial(render, 2)}, ROUNDS)


def prepare() -> None:
    global loop  # noqa: PLW0603 - what a process keeps between its parts
    loop = Loop(Registry.load(), PLAN)


def render_alone(folder: Path, frames: list[Path]) -> None:
    for frame in frames:
        loop.render(frame, folder / frame.name)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--frames", type=int, default=8)
    parser.add_argument("--size", default="480x360")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        frames = draw_frames(folder / "frames", options.frames, width, height)
        farm, engine = farm_seconds(frames, folder), engine_seconds(frames, folder)
    print(f"{options.frames} frames of {options.size}, one thread per worker")
    print(f"  speed of 2 workers relative to one: {ratio(farm['one'], farm['two']):.2f}")
    print(f"  of 2 processes of the engine alone: {ratio(engine['one'], engine['two']):.2f}")
    print(f"  measured in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
