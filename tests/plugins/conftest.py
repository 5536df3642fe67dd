"""Fixtures that dream without a farm: an effect, its context and generated pictures."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from farm import Previous
from farm.engine.context import FrameContext, to_array
from farm.engine.networks import NetworkCache
from farm.engine.pyramid import blur, resize
from farm.host.registry import Registry
from farm.model.job import Plan
from farm_dream.params import DreamParams
from farm_dream.task import Dream

Render = Callable[..., Tensor]
Scene = Callable[[int, int], Tensor]


@pytest.fixture(scope="session")
def networks() -> NetworkCache:
    torch.set_num_threads(1)
    return NetworkCache(Registry.load().network, "cpu")


@pytest.fixture
def render(networks: NetworkCache) -> Render:
    """Dream: ``render(image, plan=Plan(...), reads={...}, **params)``."""

    def run(
        image: Tensor,
        plan: Plan | None = None,
        reads: dict[str, Tensor] | None = None,
        previous: Previous | None = None,
        **params: object,
    ) -> Tensor:
        pictures = {name: to_array(picture) for name, picture in (reads or {}).items()}
        context = FrameContext(
            device="cpu",
            plan=plan or Plan(tile=0),
            networks=networks,
            frame="frame",
            previous=previous,
            report=lambda *_: None,
            is_cancelled=lambda: False,
            read=pictures.__getitem__,
        )
        dream = Dream(DreamParams(**params))
        dream.check(context)
        return dream.render(image.to(context.dtype), context)

    return run


@pytest.fixture(scope="session")
def scene() -> Scene:
    """Draw soft blobs of many sizes: ``scene(height, width)``, [1, 3, height, width] in 0..1."""

    def draw(height: int, width: int) -> Tensor:
        generator = torch.Generator().manual_seed(11)
        image = torch.full((1, 3, height, width), 0.5)
        for cells in (3, 9, 27):
            noise = torch.randn(1, 3, cells, cells, generator=generator)
            image += blur(resize(noise, height, width), 2.0) / cells**0.5 * 0.25
        return image.clamp(0, 1)

    return draw
