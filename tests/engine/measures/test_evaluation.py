"""Samples are compared with the whole data, cut to the samples' shape."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from torch import Tensor

from farm.engine.measures.evaluation import BATCH, fitted, measure, read_reference
from farm.errors import BadInput, UserError


class Set:
    """Pictures of smooth noise. unreadable: numbers of those that are damaged."""

    def __init__(self, count: int, unreadable: Sequence[int] = (), seed: int = 1) -> None:
        draws = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
        levels = torch.nn.functional.interpolate(draws, (24, 24), mode="bilinear") * 255
        self.levels = levels.round().byte()
        self._unreadable = unreadable
        self.names = [f"{number}.png" for number in range(count)]
        self.labels = [0] * count
        self.categories: Sequence[str] = ()
        self.digest = "0" * 64

    def __len__(self) -> int:
        return len(self.names)

    def read(self, number: int) -> np.ndarray:
        if number in self._unreadable:
            raise BadInput(self.names[number], "is damaged")
        return self.levels[number].permute(1, 2, 0).numpy()

    def batches(self, order: Sequence[int]) -> list[Tensor]:
        return [(self.levels[list(order)].float() / 255)]


def test_the_data_measured_against_itself_has_no_distance() -> None:
    data = Set(20)
    reference = read_reference(data, 24, 24, 20, 5)
    figures, nearest = measure(data.batches(reference.order), reference, 5)
    assert figures.wasserstein == {24: 0.0}
    assert figures.duplicates == 0
    assert figures.similarity == pytest.approx(reference.collected.similarity)
    assert nearest.index.tolist() == list(range(20))
    assert figures.distance == pytest.approx(0, abs=0.01)
    assert figures.kid is None


def test_other_pictures_of_the_same_kind_are_as_far_as_the_data_is_from_itself() -> None:
    reference = read_reference(Set(300), 24, 24, 40, 5)
    figures, _ = measure(Set(40, seed=2).batches(range(40)), reference, 5)
    assert figures.distance == pytest.approx(1, abs=0.1)
    assert figures.wasserstein[24] > 0


def test_figures_are_about_count_pictures_and_neighbours_about_all() -> None:
    data = Set(3 * BATCH)
    reports: list[tuple[int, int]] = []
    reference = read_reference(
        data, 24, 24, BATCH + 2, 5, report=lambda *done: reports.append(done)
    )
    assert reference.count == len(reference.collected.thumbnails) == BATCH + 2
    assert sorted(reference.order) == list(range(3 * BATCH))
    assert reports[-1] == (3 * BATCH, 3 * BATCH)
    last = reference.order[-1]
    _, nearest = measure(data.batches([last, reference.order[0]]), reference, 5)
    assert [reference.order[int(index)] for index in nearest.index] == [last, reference.order[0]]


def test_the_seed_chooses_the_pictures_of_the_data() -> None:
    data = Set(30)
    orders = [read_reference(data, 24, 24, 10, seed).order for seed in (5, 5, 6)]
    assert orders[0] == orders[1] != orders[2]


def test_unreadable_pictures_are_left_out_and_named() -> None:
    reference = read_reference(Set(12, unreadable=[3, 4]), 24, 24, 12, 5)
    assert reference.count == 10
    assert sorted(reference.unreadable) == ["3.png", "4.png"]
    assert not {3, 4} & set(reference.order)


def test_a_single_readable_picture_is_refused() -> None:
    with pytest.raises(UserError, match="only 1 of 3 training pictures can be read, and 2 are"):
        read_reference(Set(3, unreadable=[0, 2]), 24, 24, 3, 5)


def test_the_global_generator_is_left_alone() -> None:
    data, before = Set(12), torch.get_rng_state()
    reference = read_reference(data, 24, 24, 12, 5)
    measure(data.batches(range(12)), reference, 5)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("height", "width", "rows", "columns"),
    [(8, 8, slice(0, 16), slice(8, 24)), (8, 16, slice(0, 16), slice(0, 32))],
)
def test_the_middle_of_a_picture_is_cut_to_the_shape_of_the_samples(
    height: int, width: int, rows: slice, columns: slice
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (16, 32, 3), dtype=np.uint8)
    expected = fitted(np.ascontiguousarray(pixels[rows, columns]), height, width)
    assert expected.shape == (3, height, width)
    torch.testing.assert_close(fitted(pixels, height, width), expected)
