"""How often a network guesses the category of pictures that it was not trained on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from farm import BadInput, PictureSet

_AT_ONCE = 16
"""Pictures to guess at once."""

_LABELLED = 30
"""Most categories whose names fit beside the picture."""

_INCHES, _DOTS = 7, 100
"""Side of the picture, and its resolution."""


@dataclass(frozen=True)
class Confusion:
    """How many pictures of each category were guessed to be of each: counts[true, guessed]."""

    counts: np.ndarray
    categories: Sequence[str]

    @property
    def pictures(self) -> int:
        return int(self.counts.sum())

    @property
    def accuracy(self) -> float:
        """Share of pictures whose first guess is right (top-1), in 0..1."""
        return float(self.counts.trace() / self.counts.sum())

    def drawn(self) -> Tensor:
        """Return the counts as a labelled picture: [1, 3, side, side] in 0..1."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure((_INCHES, _INCHES), _DOTS, layout="constrained")
        canvas = FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        shares = self.counts / self.counts.sum(1, keepdims=True).clip(1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set(xlabel="guessed", ylabel="category")
        axes.set_title(f"{self.accuracy:.1%} of {self.pictures} held-out pictures are right")
        numbers = range(len(self.categories))
        if len(self.categories) <= _LABELLED:
            axes.set_xticks(numbers, self.categories, rotation=45, ha="right")
            axes.set_yticks(numbers, self.categories)
            for true, guessed in np.argwhere(self.counts):
                colour = "white" if shares[true, guessed] > 0.5 else "black"
                count = str(self.counts[true, guessed])
                axes.text(guessed, true, count, ha="center", va="center", color=colour)
        canvas.draw()  # type: ignore[no-untyped-call]
        drawn = np.asarray(canvas.buffer_rgba())[..., :3]  # type: ignore[no-untyped-call]
        return torch.tensor(drawn.copy()).permute(2, 0, 1)[None].float() / 255


def confusion_of(
    guess: Callable[[Tensor], Tensor],
    prepare: Callable[[np.ndarray], Tensor],
    pictures: PictureSet,
    categories: Sequence[str],
) -> Confusion | None:
    """Return what a network guesses; None if no picture can be read.

    guess: returns the number of the category of each of [count, 3, height, width]. prepare: turns a
    picture into [3, height, width]. Pictures that cannot be read are left out.
    """
    counts = np.zeros((len(categories), len(categories)), dtype=np.int64)
    for first in range(0, len(pictures), _AT_ONCE):
        batch, labels = [], []
        for number in range(first, min(first + _AT_ONCE, len(pictures))):
            try:
                batch.append(prepare(pictures.read(number)))
                labels.append(pictures.labels[number])
            except BadInput:
                continue
        if batch:
            guessed = guess(torch.stack(batch)).tolist()
            for true, other in zip(labels, guessed, strict=True):
                counts[true, other] += 1
    return Confusion(counts, categories) if counts.any() else None
