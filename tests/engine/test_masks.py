"""Masks are scaled to the picture if their aspect ratio fits, and refused otherwise."""

import pytest
import torch

from farm.engine.masks import fit_mask
from farm.errors import BadInput


@pytest.mark.parametrize(
    ("rows", "columns"),
    [(480, 640), (960, 1280), (120, 160), (99, 133), (3, 4), (480, 650), (471, 640)],
)
def test_a_mask_of_nearly_the_same_aspect_ratio_is_scaled(rows: int, columns: int) -> None:
    assert fit_mask("m.png", torch.ones(1, 1, rows, columns), 480, 640).shape[2:] == (480, 640)


@pytest.mark.parametrize(("rows", "columns"), [(640, 480), (480, 660), (465, 640), (64, 64)])
def test_a_mask_of_another_aspect_ratio_is_refused(rows: int, columns: int) -> None:
    with pytest.raises(BadInput, match=f"the mask is {columns}x{rows} but the picture is 640x480"):
        fit_mask("m.png", torch.ones(1, 1, rows, columns), 480, 640)
