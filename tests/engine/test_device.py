"""A GPU is set up to compute the same result every time."""

import subprocess
import sys

import pytest

SETTINGS = """
import os
import torch
from farm.engine.device import set_up

set_up({device!r}, 1)
print(
    torch.are_deterministic_algorithms_enabled(),
    torch.backends.cudnn.deterministic,
    torch.backends.cudnn.benchmark,
    torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32,
    os.environ.get("CUBLAS_WORKSPACE_CONFIG"),
    torch.get_num_threads(),
)
"""


@pytest.mark.slow
def test_a_gpu_computes_with_deterministic_kernels_and_whole_float32() -> None:
    command = [sys.executable, "-c", SETTINGS.format(device="cuda:0")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True", "False", "False", ":4096:8", "1"]
