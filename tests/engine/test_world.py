"""Workers that share a picture compute what one alone does, to the last bit."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from farm.engine.apply import apply
from farm.engine.gradient import features, gradient, statistics
from farm.engine.networks import Extractor
from farm.engine.objectives import Energy
from farm.engine.style_statistics import Goal, Gram, Style, StyleDistance
from farm.engine.world import Told, World

from .conftest import RandomNetwork

Found = TypeVar("Found")


class Threads:
    """Workers that are threads of this process, and tell each other through memory."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._barrier = threading.Barrier(size, timeout=60)
        self._box: Told | None = None

    def run(self, program: Callable[[World], Found]) -> list[Found]:
        """Return what each worker's program returned."""
        worlds = [World(rank, self._size, broadcast=self._broadcast) for rank in range(self._size)]
        with ThreadPoolExecutor(self._size) as pool:
            return list(pool.map(program, worlds))

    def _broadcast(self, made: Told | None, _rank: int) -> Told:
        if made is not None:
            self._box = {name: tensor.clone() for name, tensor in made.items()}
        self._barrier.wait()
        heard = self._box
        self._barrier.wait()
        assert heard is not None
        return heard


@given(count=st.integers(0, 9), size=st.integers(1, 4))
@settings(deadline=None)
def test_every_worker_hears_all_pieces_in_order_and_each_is_made_once(
    count: int, size: int
) -> None:
    made: list[int] = []

    def make(piece: int) -> dict[str, Tensor]:
        made.append(piece)
        return {"square": torch.tensor(piece**2)}

    def program(world: World) -> list[tuple[int, int]]:
        dealt = world.deal(range(count), make)
        return [(piece, int(told["square"])) for piece, told in dealt]

    heard = Threads(size).run(program)
    assert heard == [[(piece, piece**2) for piece in range(count)]] * size
    assert sorted(made) == list(range(count))


SIZES = pytest.mark.parametrize("size", [2, 3])
LAYERS = {"conv1": 0.5, "inception3a": 1.0}


@pytest.fixture(scope="module")
def extractor(random_network: RandomNetwork) -> Extractor:
    return random_network("googlenet", "float32").extractor(tuple(LAYERS))


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, 150, 133, generator=torch.Generator().manual_seed(1))


def style(extractor: Extractor, painting: Tensor) -> StyleDistance:
    found = statistics(painting, extractor, StyleDistance(Gram, LAYERS), 0)
    goals: dict[str, Goal] = {layer: Gram(sums[0]) for layer, sums in found.items()}
    return StyleDistance(Gram, LAYERS, [Style(goals, 1.0)])


@pytest.mark.slow
@SIZES
@pytest.mark.parametrize("kind", ["energy", "style"])
def test_a_shared_gradient_is_bit_for_bit_that_of_one_worker(
    extractor: Extractor, image: Tensor, kind: str, size: int
) -> None:
    objective = Energy(LAYERS) if kind == "energy" else style(extractor, image.flip(2) ** 2)
    value, alone = gradient(image, extractor, objective, 48)
    for shared_value, shared in Threads(size).run(
        lambda world: gradient(image, extractor, objective, 48, world=world)
    ):
        assert shared_value == value
        assert torch.equal(shared, alone)


@pytest.mark.slow
@SIZES
def test_shared_features_are_those_of_one_worker(
    extractor: Extractor, image: Tensor, size: int
) -> None:
    alone = features(image, extractor, 48)
    for shared in Threads(size).run(lambda world: features(image, extractor, 48, world=world)):
        assert all(torch.equal(shared[layer], alone[layer]) for layer in LAYERS)


@SIZES
def test_a_shared_painting_is_that_of_one_worker(image: Tensor, size: int) -> None:
    blur = nn.Conv2d(3, 3, 5, padding=2, padding_mode="reflect")
    alone = apply(blur, image, 40)
    for shared in Threads(size).run(lambda world: apply(blur, image, 40, world=world)):
        assert torch.equal(shared, alone)
