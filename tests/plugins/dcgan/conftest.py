"""Fixtures that train tiny generators on drawn pictures, without a farm."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from farm import UnknownName
from farm.engine.context import FrameContext
from farm.engine.networks import NetworkCache
from farm.engine.training import Feed
from farm.engine.world import ALONE, World
from farm.host.vetting import validate_params
from farm.media.dataset import open_pictures
from farm.model.job import Plan
from farm_dcgan.params import DcganParams
from farm_dcgan.real_pictures import prepare
from farm_dcgan.task import Dcgan
from farm_dcgan.train import DcganTraining

QUICK = {"width": 0.02, "batch": 4, "steps": 20, "every": 20, "flip": True}

MakeContext = Callable[..., FrameContext]
MakeTraining = Callable[..., DcganTraining]


@pytest.fixture(scope="session")
def drawings(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return a folder of 24 pictures, each with a bright disc on a dark ground."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("drawings")
    generator = torch.Generator().manual_seed(5)
    rows, columns = torch.meshgrid(torch.arange(40), torch.arange(48), indexing="ij")
    for number in range(24):
        y, x, radius, *colour = torch.rand(6, generator=generator).tolist()
        is_disc = (rows - 40 * y) ** 2 + (columns - 48 * x) ** 2 < (6 + 8 * radius) ** 2
        levels = is_disc[..., None] * (100 + 155 * torch.tensor(colour)) + 20
        Image.fromarray(levels.numpy().clip(0, 255).astype(np.uint8)).save(folder / f"{number}.png")
    return str(folder)


@pytest.fixture(scope="session")
def make_context() -> MakeContext:
    """Return a function that makes a context, which may stop the run after some steps."""

    def no_network(name: str) -> Any:
        raise UnknownName("network", name, ())

    def make(stop_after: int | None = None, world: World = ALONE) -> FrameContext:
        notes: list[str] = []

        def is_cancelled() -> bool:
            return stop_after is not None and len(notes) >= stop_after

        context = FrameContext(
            device="cpu",
            plan=Plan(),
            networks=NetworkCache(no_network, "cpu"),
            frame="dcgan",
            report=lambda _done, note, *_: notes.append(note),
            is_cancelled=is_cancelled,
            read=lambda source: pytest.fail(f"read {source}"),
            pictures=open_pictures,
            world=world,
        )
        context.notes = notes  # type: ignore[attr-defined]
        return context

    return make


def make_run(**params: Any) -> Dcgan:
    return Dcgan(validate_params(Dcgan, {**QUICK, **params}))


@pytest.fixture(scope="session")
def make_training(drawings: str, make_context: MakeContext) -> MakeTraining:
    """Return a function that makes a training without its loop: parameters, perhaps a world."""

    def make(world: World = ALONE, **params: Any) -> DcganTraining:
        values = validate_params(Dcgan, {**QUICK, **params})
        assert isinstance(values, DcganParams)
        recipe, context = values.recipe(), make_context(world=world)
        pictures = open_pictures(drawings)
        feed = Feed(pictures, context.seed, recipe.batch, partial(prepare, recipe), threads=1)
        return DcganTraining(recipe, feed.__enter__(), context)

    return make


def checkpoint(folder: Path, step: int) -> Path:
    return folder / "checkpoints" / f"step-{step:08}.safetensors"
