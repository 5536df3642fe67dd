"""What sharing one still gains: the same dream on one worker and on several, of one thread each.

    python tests/benchmarks/gang.py [--workers 2] [--size 1200x900] [--tile 320]

Compares the time that the dream takes once the workers are there, and says what it takes to
gather them. The pictures' bytes are compared too.
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
    """Return seconds of the dream, seconds besides, and the digest of the picture."""
    params: dict[str, object] = {"octaves": 1, "iterations": 5}
    unit = Unit("benchmark", "still", str(source), str(source.with_name(f"{workers}.png")))
    order = Order(unit, 1, str(workers), "dream", params, Plan(tile=tile))
    gang = Gang(ExecutorOptions(workers=workers))
    start = time.perf_counter()
    figures = gang.run(order, lambda *_: None, lambda: False)
    whole = time.perf_counter() - start
    taken = figures.seconds["compute"]
    return taken, whole - taken, figures.target_sha256


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", default="1200x900")
    parser.add_argument("--tile", type=int, default=320)
    given = parser.parse_args()
    connect(ExecutorOptions(workers=given.workers))
    width, height = map(int, given.size.split("x"))
    with tempfile.TemporaryDirectory() as folder:
        (source,) = draw_frames(Path(folder) / "frames", 1, width, height)
        one, several = (dream(workers, source, given.tile) for workers in (1, given.workers))
    print(f"a dream of {given.size} in tiles of {given.tile}, one thread a worker")
    print(f"  {given.workers} workers: {one[0] / several[0]:.2f} times as fast as one")
    print(f"  gathering them takes {several[1]:.1f} s; for one worker {one[1]:.1f} s")
    print(f"  the same bytes: {one[2] == several[2]}")


if __name__ == "__main__":
    main()
