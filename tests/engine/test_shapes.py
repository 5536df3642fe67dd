"""Tensor shapes in annotations are checked in tests, and only there: see addopts in pyproject."""

import subprocess
import sys

import pytest
import torch
from jaxtyping import TypeCheckError

from farm.engine import pyramid


def test_a_tensor_of_a_wrong_shape_is_refused() -> None:
    with pytest.raises(TypeCheckError, match=r"Expected type: .*batch channels height width"):
        pyramid.resize(torch.zeros(3, 8, 8), 4, 4)


def test_a_tensor_of_a_wrong_type_is_refused() -> None:
    with pytest.raises(TypeCheckError, match=r"Expected type: .*batch channels height width"):
        pyramid.resize(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), 4, 4)


@pytest.mark.slow
def test_shapes_are_not_checked_outside_of_tests() -> None:
    script = (
        "import torch; from farm.engine import pyramid;"
        "print(*pyramid.blur(torch.zeros(5, 1, 3, 8, 8)[0], 1).shape)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.split() == [b"1", b"3", b"8", b"8"], done.stderr
