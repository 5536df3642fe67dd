"""What a run draws at its start depends on its seed alone, whatever other threads draw meanwhile."""

from collections.abc import Iterator
from threading import Event, Thread

import pytest
import torch
from torch import Tensor, nn

from farm.engine.training import seeded


@pytest.fixture
def busy_threads() -> Iterator[None]:
    """Threads that draw from torch's global generator, as they do where they build networks."""
    is_over, has_begun = Event(), Event()

    def draw() -> None:
        while not is_over.is_set():
            torch.rand(1000)
            has_begun.set()

    thread = Thread(target=draw)
    thread.start()
    has_begun.wait()
    yield
    is_over.set()
    thread.join()


def drawn() -> list[Tensor]:
    layers = nn.ModuleList([nn.Conv2d(8, 16, 3), nn.Linear(50, 60), nn.Embedding(40, 5)])
    nn.init.normal_(layers[0].weight, 0, 0.02)
    nn.init.trunc_normal_(layers[1].bias)
    return [*layers.state_dict().values(), torch.randn(5), torch.randperm(9)]


def test_a_block_draws_what_torch_draws_from_the_seed() -> None:
    torch.manual_seed(7)
    expected = drawn()
    with seeded(7):
        assert all(map(torch.equal, drawn(), expected))


@pytest.mark.usefixtures("busy_threads")
def test_other_threads_may_draw_meanwhile() -> None:
    with seeded(7):
        expected = drawn()
    for _ in range(30):
        with seeded(7):
            assert all(map(torch.equal, drawn(), expected))


def test_the_global_generator_goes_on_as_if_nothing_had_been_drawn() -> None:
    torch.manual_seed(3)
    expected = torch.rand(4)
    torch.manual_seed(3)
    with seeded(7):
        drawn()
    assert torch.equal(torch.rand(4), expected)
