"""Effects that work, wait, fail and crash, for tests of everything that runs effects."""

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from farm import Context, Effect, Field, NetworkParams, Run, Task, TaskParams, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Invert(Effect):
    """Photographic negative."""

    name = "invert"

    class Params(TaskParams):
        amount: float = Field(1.0, ge=0, le=1)

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        return image.lerp(1 - image, self.params.amount)


class Grain(Effect):
    """Smoothed noise, seeded per frame."""

    name = "grain"

    class Params(TaskParams):
        strength: float = 0.3

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        import torch
        import torch.nn.functional as F

        noise = torch.randn(image.shape, generator=context.generator(), dtype=image.dtype)
        kernel = torch.randn(3, 3, 7, 7, generator=context.generator(), dtype=image.dtype)
        smooth = F.conv2d(noise.to(image.device), kernel.to(image.device), padding=3)
        return image + self.params.strength * smooth / smooth.abs().mean()


class Wait(Effect):
    """Writes its process id to a file, then waits for another file to appear."""

    name = "wait"

    class Params(TaskParams):
        began: str
        until: str

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        Path(self.params.began).write_text(str(os.getpid()))
        while not Path(self.params.until).exists():
            context.progress(0.5, "waiting")
            time.sleep(0.005)
        return image


class Crash(Effect):
    """Crashes its process the first time, and leaves a file so that it succeeds the next."""

    name = "crash"

    class Params(TaskParams):
        marker: str

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        marker = Path(self.params.marker)
        if not marker.exists():
            marker.touch()
            os._exit(7)
        return image


class Unprintable(BaseException):
    """An error that is no Exception and cannot be turned into text."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def throw(error: BaseException) -> None:
    raise error


class Faulty(Effect):
    """Fails in the given way."""

    name = "faulty"

    class Params(TaskParams):
        how: Literal[
            "nan",
            "layout",
            "integer",
            "nothing",
            "in-place",
            "misspelt",
            "raise",
            "exit",
            "interrupt",
            "generator",
            "stop",
            "base",
            "memory",
            "torch-memory",
        ]

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        import torch

        faults = {
            "nan": lambda: image * torch.where(image > 0.5, torch.nan, 1.0),
            "layout": lambda: image[0],
            "integer": lambda: (image * 255).to(torch.uint8),
            "nothing": lambda: None,
            "in-place": lambda: image.mul_(0.5),
            "misspelt": lambda: image.multiply_by(0.5),
            "raise": lambda: {}["colour"],
            "exit": lambda: sys.exit(3),
            "interrupt": lambda: throw(KeyboardInterrupt()),
            "generator": lambda: throw(GeneratorExit()),
            "stop": lambda: throw(StopIteration(7)),
            "base": lambda: throw(Unprintable()),
            "memory": lambda: [0] * 10**17,
            "torch-memory": lambda: torch.empty(10**14),
        }
        return faults[self.params.how]()


class Half(Effect):
    """Returns a picture of half the size."""

    name = "half"

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        return image[:, :, ::2, ::2]


class Look(Effect):
    """Loads a network and returns the picture unchanged."""

    name = "look"
    Params = NetworkParams

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        context.network(self.params.network, self.params.weights)
        return image


class Total(Effect):
    """Paints the picture in the last bits of a sum, which depend on the number of threads."""

    name = "total"

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        import torch

        total = torch.randn(2**22, generator=context.generator()).sum()
        return torch.full_like(image, (total.view(torch.int32) & 255).item() / 255)


class Together(Effect):
    """Meets its other workers again and again until a file appears; one of them may fail first.

    Each worker writes its process id to the file "began" with its rank. how: what the worker of
    rank "who" does, unless the file "once" exists, which it creates. beside: what the others do then.
    """

    name = "together"

    class Params(TaskParams):
        began: str
        until: str
        once: str = ""
        who: int = 0
        how: Literal["go on", "raise", "die", "hang"] = "go on"
        beside: Literal["go on", "hang"] = "go on"

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        rank = context.world.rank
        Path(f"{self.params.began}-{rank}").write_text(str(os.getpid()))
        if rank == self.params.who and self.params.once and not Path(self.params.once).exists():
            Path(self.params.once).touch()
            self._act(self.params.how)
        elif rank != self.params.who:
            self._act(self.params.beside)
        while not self._is_over(image, context):
            context.progress(0.5, "waiting")
            time.sleep(0.005)
        return 1 - image

    def _act(self, how: str) -> None:
        match how:
            case "raise":
                throw(KeyError("colour"))
            case "die":
                os._exit(7)
            case "hang":
                time.sleep(3600)

    def _is_over(self, image: "Tensor", context: Context) -> bool:
        found = image.new_tensor([float(Path(self.params.until).exists())])
        context.world.all_reduce(found)
        return found.item() > 0


class Fill(Run):
    """A run whose own writing fails with this error of the system."""

    name = "fill"
    result = "network.bin"

    class Params(TaskParams):
        error: int

    def train(self, inputs: Sequence[str], folder: Path, context: Context) -> None:
        raise OSError(self.params.error, os.strerror(self.params.error), str(folder / self.result))


@hookimpl
def farm_tasks() -> list[type[Task]]:
    return [Invert, Grain, Wait, Crash, Faulty, Half, Look, Total, Together, Fill]
