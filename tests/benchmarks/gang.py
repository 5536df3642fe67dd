"""Measure the gain from a gang: one dream on one worker and on several, with one thread each.

    python tests/benchmarks/gang.py [--workers 2] [--size 1200x900] [--tile 320]

Compares rendering times, prints the time to start the workers and compares the bytes of the pictures.
"""

import argparse
import tempfile
import time
from pathlib import Path

from overhead import draw_frames

from farm.host.executor import ExecutorOptions
from farm.model.job import Plan
from farm.model.messages import Order
from farm.model.unit import Unit
from farm_cluster.session import connect, prepare_environment

prepare_environment(None)

from farm_cluster.gang import Gang  # noqa: E402 - Ray reads its settings when imported


def dream(workers: int, source: Path, tile: int) -> tuple[float, float, str]:
    """Return the seconds to render, the other seconds and the digest of the picture."""
    params: dict[str, object] = {"octaves": 1, "iterations": 5}
    unit = Unit("benchmark", "still", str(source), str(source.with_name(f"{workers}.png")))
    order = Order(unit, 1, str(workers), "dream", params, Plan(tile=tile))
    gang = Gang(ExecutorOptions(workers=workers))
    start = time.perf_counter()
    figures = gang.run(order, lambda *_: None, lambda: False)
    total = time.perf_counter() - start
    compute = figures.seconds["compute"]
    return compute, total - compute, figures.target_sha256


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", default="1200x900")
    parser.add_argument("--tile", type=int, default=320)
    options = parser.parse_args()
    connect(ExecutorOptions(workers=options.workers))
    width, height = map(int, options.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        (source,) = draw_frames(Path(folder) / "frames", 1, width, height)
        one, several = (dream(workers, source, options.tile) for workers in (1, options.workers))
    print(f"a dream of {options.size} in tiles of {options.tile}, one thread per worker")
    print(f"  speed of {options.workers} workers relative to one: {one[0] / several[0]:.2f}")
    print(f"  time to start: {several[1]:.1f} s; with one worker {one[1]:.1f} s")
    print(f"  same bytes: {one[2] == several[2]}")


if __name__ == "__main__":
    main()
