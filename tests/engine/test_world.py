"""Workers that share a picture compute the same bits as a single worker."""

from pathlib import Path

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
from farm.engine.world import World

from .conftest import RandomNetwork
from .threads import Threads


@given(count=st.integers(0, 9), size=st.integers(1, 4))
@settings(deadline=None)
def test_every_worker_gets_all_results_in_order_and_each_is_computed_once(
    count: int, size: int
) -> None:
    computed: list[int] = []

    def compute(piece: int) -> dict[str, Tensor]:
        computed.append(piece)
        return {"square": torch.tensor(piece**2)}

    def program(world: World) -> list[tuple[int, int]]:
        dealt = world.deal(range(count), compute)
        return [(piece, int(result["square"])) for piece, result in dealt]

    results = Threads(size).run(program)
    assert results == [[(piece, piece**2) for piece in range(count)]] * size
    assert sorted(computed) == list(range(count))


@given(text=st.text(min_size=1), size=st.integers(1, 3))
def test_every_worker_gets_the_text_of_the_first(text: str, size: int) -> None:
    told = Threads(size).run(lambda world: world.broadcast_text(text if world.rank == 0 else "own"))
    assert told == [text] * size


@pytest.mark.parametrize("content", [b"", b"short", b"0123456789" * 5])
def test_every_worker_gets_the_file_of_the_first(
    content: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.engine.world._PIECE_BYTES", 10)
    files = [tmp_path / str(rank) for rank in range(3)]
    files[0].write_bytes(content)
    Threads(3).run(lambda world: world.copy_file(files[0], files[world.rank]))
    assert [file.read_bytes() for file in files] == [content] * 3


SIZES = pytest.mark.parametrize("size", [2, 3])
LAYERS = {"conv1": 0.5, "inception3a": 1.0}


@pytest.fixture(scope="module")
def extractor(random_network: RandomNetwork) -> Extractor:
    return random_network("googlenet", "float32").extractor(tuple(LAYERS))


@pytest.fixture
def image() -> Tensor:
    return torch.rand(1, 3, 150, 133, generator=torch.Generator().manual_seed(1))


def style(extractor: Extractor, painting: Tensor) -> StyleDistance:
    moments = statistics(painting, extractor, StyleDistance(Gram, LAYERS), 0)
    goals: dict[str, Goal] = {layer: Gram(regions[0]) for layer, regions in moments.items()}
    return StyleDistance(Gram, LAYERS, [Style(goals, 1.0)])


@pytest.mark.slow
@SIZES
@pytest.mark.parametrize("kind", ["energy", "style"])
def test_a_shared_gradient_equals_that_of_a_single_worker_bit_for_bit(
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
def test_shared_features_equal_those_of_a_single_worker(
    extractor: Extractor, image: Tensor, size: int
) -> None:
    alone = features(image, extractor, 48)
    for shared in Threads(size).run(lambda world: features(image, extractor, 48, world=world)):
        assert all(torch.equal(shared[layer], alone[layer]) for layer in LAYERS)


@SIZES
def test_applying_a_module_together_equals_a_single_worker(image: Tensor, size: int) -> None:
    blur = nn.Conv2d(3, 3, 5, padding=2, padding_mode="reflect")
    alone = apply(blur, image, 40)
    for shared in Threads(size).run(lambda world: apply(blur, image, 40, world=world)):
        assert torch.equal(shared, alone)
