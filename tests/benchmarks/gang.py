"""Measure the gain from workers that share a unit: one dream on one worker and on several.

    python tests/benchmarks/gang.py [--workers 2] [--size 1200x900] [--tile 320]

Workers have one thread each. Compares rendering times, prints the time to start and to gather the
workers, and compares the bytes of the pictures.
"""

import argparse
import secrets
import tempfile
import time
from pathlib import Path

from overhead import draw_frames
from together import Workers, private_pool

from farm.host.executor import ExecutorOptions
from farm.model.job import Plan
from farm.model.messages import Order
from farm.model.unit import Unit


def dream(pool: Workers, workers: int, source: Path, tile: int) -> tuple[float, float, str]:
    """Return the seconds to render, the other seconds and the digest of the picture."""
    params: dict[str, object] = {"octaves": 1, "iterations": 5}
    unit = Unit("benchmark", "still", str(source), str(source.with_name(f"{workers}.png")))
    order = Order(unit, 1, secrets.token_hex(8), "dream", params, Plan(tile=tile))
    start = time.perf_counter()
    figures = pool.run(order, workers)
    total = time.perf_counter() - start
    compute = figures.seconds["compute"]
    return compute, total - compute, figures.target_sha256


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", default="1200x900")
    parser.add_argument("--tile", type=int, default=320)
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    start = time.perf_counter()
    with (
        tempfile.TemporaryDirectory() as folder,
        private_pool(ExecutorOptions(workers=options.workers)) as pool,
    ):
        started = time.perf_counter() - start
        (source,) = draw_frames(Path(folder) / "frames", 1, width, height)
        dream(pool, options.workers, source, options.tile)  # loads the network
        one, several = (
            dream(pool, workers, source, options.tile) for workers in (1, options.workers)
        )
    print(f"a dream of {options.size} in tiles of {options.tile}, one thread per worker")
    print(f"  speed of {options.workers} workers relative to one: {one[0] / several[0]:.2f}")
    print(f"  time to start {options.workers} workers: {started:.1f} s")
    print(f"  time to gather them and to write: {several[1]:.2f} s; with one {one[1]:.2f} s")
    print(f"  same bytes: {one[2] == several[2]}")


if __name__ == "__main__":
    main()
