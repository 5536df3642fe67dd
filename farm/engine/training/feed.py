"""Feeds a run with batches of pictures, which are decoded in the background before they are needed.

Which picture is in which row, and the random numbers that its preparation uses, are functions of
the seed, the step and the row alone; so they do not depend on when a batch is asked for, nor on the
number of workers.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier, Event

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from farm.engine.one_core import take_one_core
from farm.engine.training.rows import row_generator, shuffled_index
from farm.engine.training.stages import DATA, stage
from farm.errors import BadInput, Cancelled
from farm.model.specs import PictureSet

Prepare = Callable[[np.ndarray, torch.Generator], Tensor]
"""Turns a picture, uint8 [height, width, 3], into what the network is fed: [3, height, width]."""


@dataclass(frozen=True)
class Batch:
    """Some rows of a step's batch, on the CPU. labels: the number of each picture's category."""

    pictures: Float[Tensor, "rows 3 height width"]
    labels: Int64[Tensor, " rows"]


def notes_on_few(pictures: PictureSet, batch: int) -> tuple[str, ...]:
    """Return what a user should know of a set that is smaller than a batch, for Run.notes_on_inputs."""
    count = len(pictures)
    if count >= batch:
        return ()
    given = f"{count} pictures are" if count > 1 else "1 picture is"
    why = f"{given} fewer than a batch of {batch}, so every step repeats some"
    return (f"{why}; add pictures, or give a smaller `batch`",)


class Feed:
    """Decodes and prepares batches ahead of the step, in background threads. Use it in a with block.

    seed: of the run. batch: rows of a whole step, on all workers together. prepare: called in the
    background, by several threads; it draws random numbers from the generator only, and returns
    the same height and width for every picture. ahead: steps to prepare before they are asked for.
    threads: that decode.

    Each epoch has an order of its own. A picture that cannot be read is replaced by the next one
    that can, and noted in unreadable, by name.
    """

    def __init__(
        self,
        pictures: PictureSet,
        seed: int,
        batch: int,
        prepare: Prepare,
        *,
        ahead: int = 2,
        threads: int = 2,
    ) -> None:
        self._pictures, self._seed, self._batch, self._prepare = pictures, seed, batch, prepare
        self._ahead, self._threads = ahead, threads
        self._coming: dict[tuple[int, range], Future[Batch]] = {}
        self._is_closing = Event()
        self.unreadable: dict[str, BadInput] = {}

    def __enter__(self) -> "Feed":  # noqa: PYI034 - beartype knows no Self in a single method
        self._pool = ThreadPoolExecutor(self._threads, "farm-feed")
        _start_threads(self._pool, self._threads)
        return self

    def __exit__(self, *_: object) -> None:
        self._is_closing.set()
        self._pool.shutdown(cancel_futures=True)

    def batch(self, step: int, rows: range) -> Batch:
        """Return these rows of a step, and begin to prepare those of the steps that follow.

        Steps may be asked for in any order; those that follow each other need not be waited for.
        To divide a step, ask for all its rows at once. Raises BadInput if no picture is readable,
        and what reading and prepare raise.
        """
        wanted = [(step + after, rows) for after in range(self._ahead + 1)]
        for key in self._coming.keys() - wanted:
            self._coming.pop(key).cancel()
        for key in wanted:
            if key not in self._coming:
                self._coming[key] = self._pool.submit(self._load, *key)
        with stage(DATA):
            return self._coming.pop(wanted[0]).result()

    @property
    def warning(self) -> str:
        """Name a picture that was skipped because it cannot be read, or nothing."""
        errors = list(self.unreadable.values())  # at once, as the background adds to them
        return f"unreadable pictures skipped: {len(errors)}, such as {errors[0]}" if errors else ""

    def picture(self, number: int) -> tuple[np.ndarray, int]:
        """Return a picture and its label, or the next readable one. Raises BadInput if none is.

        number: in the order of the set.
        """
        count = len(self._pictures)
        for index in (*range(number, count), *range(number)):
            name = self._pictures.names[index]
            if name not in self.unreadable:
                try:
                    return self._pictures.read(index), self._pictures.labels[index]
                except BadInput as error:
                    self.unreadable[name] = error
        first = self.unreadable[self._pictures.names[number]]
        others = f"; nor can any of the other {count - 1} pictures be read" if count > 1 else ""
        raise BadInput(first.source, first.reason + others)

    def _load(self, step: int, rows: range) -> Batch:
        loaded = [self._row(step, row) for row in rows]
        labels = torch.tensor([label for _, label in loaded], dtype=torch.int64)
        return Batch(torch.stack([picture for picture, _ in loaded]), labels)

    def _row(self, step: int, row: int) -> tuple[Tensor, int]:
        if self._is_closing.is_set():
            raise Cancelled
        number = step * self._batch + row
        pixels, label = self.picture(shuffled_index(self._seed, len(self._pictures), number))
        return self._prepare(pixels, row_generator(self._seed, step, row, "data")), label


def _start_threads(pool: ThreadPoolExecutor, count: int) -> None:
    """Start the threads of a pool, and let torch compute on one core in each of them.

    Every thread would else get an OpenMP team of its own, and the teams would slow the step down.
    """
    everywhere = torch.get_num_threads()
    started = Barrier(count + 1)

    def start() -> None:
        take_one_core()
        started.wait()

    for _ in range(count):
        pool.submit(start)
    started.wait()
    torch.set_num_threads(everywhere)  # for threads that start later; the others keep their own
