"""Pictures are changed at random, as functions of their generator alone; so is dropout, by row."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from farm_finetune.augmentation import augmented, centred
from farm_finetune.noise import Place, replace_dropout
from farm_finetune.params import FinetuneParams

PLAIN = {"size": 48, "crop": 48, "flip": False}
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)


def shown(seed: int, pixels: np.ndarray = PIXELS, **params: Any) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return augmented(FinetuneParams(**{**PLAIN, **params}), pixels, generator)


@pytest.mark.parametrize(
    "params", [{"flip": True}, {"rotate": 20}, {"blur": 3}, {"colour": 0.3}, {"crop": 40}]
)
def test_each_option_changes_pictures_and_only_by_the_generator(params: dict[str, Any]) -> None:
    pictures = [shown(seed, **params) for seed in range(6)]
    plain = centred(FinetuneParams(**{**PLAIN, **params}), PIXELS)
    assert any(not torch.equal(picture, plain) for picture in pictures)
    assert any(not torch.equal(picture, pictures[0]) for picture in pictures)
    again = [shown(seed, **params) for seed in range(6)]
    assert all(map(torch.equal, pictures, again))
    assert all(picture.min() >= 0 and picture.max() <= 1 for picture in pictures)


def test_without_options_a_picture_is_only_squeezed() -> None:
    assert torch.equal(shown(1), centred(FinetuneParams(**PLAIN), PIXELS))
    assert shown(1).shape == (3, 48, 48)


def test_a_turned_picture_has_no_dark_corners() -> None:
    white = np.full((40, 60, 3), 255, np.uint8)
    assert shown(3, white, rotate=45).min() > 0.99


def test_dropout_depends_on_the_row_and_not_on_its_neighbours() -> None:
    place = Place(seed=1, step=4, rows=range(6))
    network = nn.Sequential(nn.Linear(5, 40), nn.Dropout(0.5))
    replace_dropout(network, place)
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    before = torch.get_rng_state()
    whole = network(x)
    parts = []
    for rows in (range(2), range(2, 6)):
        place.rows = rows
        parts.append(network(x[rows.start : rows.stop]))
    torch.testing.assert_close(torch.cat(parts), whole)
    assert 0.3 < (whole == 0).float().mean() < 0.7
    assert torch.equal(torch.get_rng_state(), before)
    assert (network.eval()(x) != 0).all()
