"""Copies of training pictures and duplicates among samples are found, other pictures are not."""

import pytest
import torch
from torch import Tensor

from farm.engine.measures import neighbours
from farm.engine.measures.neighbours import (
    DUPLICATE,
    duplicate_rate,
    nearest,
    nearest_other,
    thumbnails,
)


def pictures(count: int, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(count, 3, 6, 6, generator=generator)
    return torch.nn.functional.interpolate(coarse, (40, 40), mode="bilinear")


def test_a_copied_picture_is_found_among_many() -> None:
    training, samples = pictures(50), pictures(4, seed=2)
    samples[2] = training[37]
    found = nearest(thumbnails(samples), thumbnails(training))
    assert found.index[2] == 37
    assert found.distance[2] < 1e-3
    assert not found.is_mirrored[2]
    assert float(found.distance[[0, 1, 3]].min()) > 2 * DUPLICATE


def test_a_copy_is_found_although_it_is_mirrored_brighter_or_noisy() -> None:
    training = pictures(50)
    copies = (training.flip(3), 0.6 * training + 0.2, training + 0.02 * torch.randn_like(training))
    for copy in copies:
        found = nearest(thumbnails(copy[:5]), thumbnails(training))
        assert found.index.tolist() == [0, 1, 2, 3, 4]
        assert float(found.distance.max()) < DUPLICATE
    assert nearest(thumbnails(training.flip(3)), thumbnails(training)).is_mirrored.all()


def test_a_picture_is_not_its_own_neighbour() -> None:
    found = nearest_other(thumbnails(pictures(9)))
    assert (found.index != torch.arange(9)).all()
    assert float(found.distance.min()) > DUPLICATE


def test_chunks_do_not_change_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    samples, training = thumbnails(pictures(11, seed=2)), thumbnails(pictures(30))
    whole = nearest(samples, training), nearest_other(training)
    monkeypatch.setattr(neighbours, "_CHUNK", 4)
    for before, now in zip(
        whole, (nearest(samples, training), nearest_other(training)), strict=True
    ):
        assert before.index.tolist() == now.index.tolist()
        torch.testing.assert_close(before.distance, now.distance)


def test_the_rate_of_duplicates_counts_every_copy() -> None:
    distinct = pictures(8)
    assert duplicate_rate(thumbnails(distinct)) == 0
    assert duplicate_rate(thumbnails(torch.cat([distinct, distinct[:2]]))) == 0.4
    assert duplicate_rate(thumbnails(distinct[:1].repeat(5, 1, 1, 1))) == 1


def test_a_plain_picture_has_a_distance() -> None:
    plain = torch.full((2, 3, 32, 32), 0.5)
    assert nearest(thumbnails(plain), thumbnails(pictures(5))).distance.isfinite().all()
