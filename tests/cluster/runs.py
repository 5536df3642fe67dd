"""Orders for workers that share them, and how tests run them."""

import json
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

from farm.execution.worker import Worker
from farm.host.registry import Registry
from farm.model.messages import (
    Figures,
    Order,
    UnitCancelled,
    UnitFailed,
    UnitProgress,
    UnitSucceeded,
    WorkerLost,
)

TOKENS = count(1)


def draw(path: Path, seed: int, side: int = 96) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    small = np.random.default_rng(seed).integers(0, 256, (9, 9, 3), np.uint8)
    Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC).save(path)
    return str(path)


def with_target_in(order: Order, folder: Path) -> Order:
    """Return the order with another target, and another token."""
    target = str(folder / Path(order.unit.target).name)
    return replace(order, unit=replace(order.unit, target=target), token=f"run-{next(TOKENS)}")


def run_on_one(order: Order) -> Figures:
    return Worker(Registry.load(), "cpu").run(order, lambda *_: None, lambda: False)


def run_together(
    bench: Any, order: Order, look: Callable[[UnitProgress], object] = lambda _: None
) -> Any:
    """Let all workers of a bench share an order; return the message that ends it.

    look: called with each report of progress.
    """
    bench.share(order)
    while True:
        message = bench.until(
            UnitProgress | UnitSucceeded | UnitFailed | UnitCancelled | WorkerLost
        )
        if not isinstance(message, UnitProgress):
            return message
        look(message)


def renderers() -> list[psutil.Process]:
    """Return the processes of rendering workers on the tests' cluster: those that loaded torch."""
    children = psutil.Process().children(recursive=True)
    workers = [process for process in children if process.name().startswith("ray::Farm")]
    return [worker for worker in workers if _has_loaded_torch(worker)]


def _has_loaded_torch(process: psutil.Process) -> bool:
    try:
        return any("libtorch" in loaded.path for loaded in process.memory_maps())
    except psutil.NoSuchProcess:
        return False


def losses(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
