"""A tiny network with an auxiliary classifier, pictures of plain colours, and contexts to train in."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from farm import NetworkSpec, Weights
from farm.engine.context import FrameContext
from farm.engine.networks import NetworkCache
from farm.host.registry import Registry
from farm.host.vetting import validate_params
from farm.media.dataset import open_pictures
from farm.model.job import Plan
from farm_finetune.task import Finetune

COLOURS = {"blue": (40, 60, 200), "green": (50, 180, 60), "red": (200, 40, 50)}
QUICK = {"network": "tiny", "batch": 6, "size": 32, "crop": 32, "steps": 20, "every": 100}


class Tiny(nn.Module):
    """Two blocks, dropout and a classifier; with an auxiliary one that only training uses."""

    def __init__(self, *, auxiliary: bool) -> None:
        super().__init__()
        self.block1 = nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), nn.BatchNorm2d(6), nn.ReLU())
        self.block2 = nn.Sequential(nn.Conv2d(6, 8, 3, 2, 1), nn.ReLU())
        self.dropout = nn.Dropout(0.25)
        self.fc = nn.Linear(8, 4)
        self.aux1 = nn.Linear(6, 4) if auxiliary else None

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        first = self.block1(x)
        main = self.fc(self.dropout(self.block2(first).mean((2, 3))))
        if self.aux1 is None or not self.training:
            return main
        return main, self.aux1(first.mean((2, 3)))


@pytest.fixture(scope="session")
def find(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], NetworkSpec]:
    """Find networks by name; "tiny" is one of them."""
    file = tmp_path_factory.mktemp("tiny") / "tiny.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(1)
        save_file(Tiny(auxiliary=True).state_dict(), file)
    tiny = NetworkSpec(
        "tiny",
        build=lambda: Tiny(auxiliary=False),
        build_to_train=lambda: Tiny(auxiliary=True),
        weights=Weights(file=file),
        aliases={"first": "block1.0"},
    )
    registry = Registry.load()
    registry._networks["tiny"] = tiny
    return registry.network


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Return a folder of noisy pictures in train/ and val/, in a category for each colour."""
    generator = np.random.default_rng(3)
    for part, count in (("train", 5), ("val", 3)):
        for colour, levels in COLOURS.items():
            folder = tmp_path / "set" / part / colour
            folder.mkdir(parents=True)
            for number in range(count):
                noise = generator.normal(0, 20, (32, 40, 3))
                pixels = np.clip(noise + levels, 0, 255).astype(np.uint8)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "set"


@pytest.fixture
def make_context(find: Callable[[str], NetworkSpec]) -> Callable[..., FrameContext]:
    torch.set_num_threads(1)

    def make(stop_after: int | None = None) -> FrameContext:
        """Return a context that stops the run after so many steps."""
        reports: list[str] = []
        return FrameContext(
            device="cpu",
            plan=Plan(tile=0),
            networks=NetworkCache(find, "cpu"),
            frame="finetune",
            report=lambda _done, note, *_: reports.append(note),
            is_cancelled=lambda: stop_after is not None and len(reports) >= stop_after - 1,
            read=pytest.fail,
            pictures=open_pictures,
        )

    return make


def make_run(**params: Any) -> Finetune:
    return Finetune(validate_params(Finetune, {**QUICK, **params}))
