"""Choose the device, and make it compute the same result every time."""

import os
import warnings

import torch

from farm.model.job import Precision

DTYPES: dict[Precision, torch.dtype] = {
    "float32": torch.float32,
    "float64": torch.float64,
    "bfloat16": torch.bfloat16,
}


def pick_device() -> str:
    """Return the first CUDA device, or the CPU."""
    return "cuda:0" if torch.cuda.is_available() else "cpu"


def image_dtype(precision: Precision) -> torch.dtype:
    """Return the precision of pictures and sums; bfloat16 is for networks only."""
    return torch.float64 if precision == "float64" else torch.float32


def set_up(device: str, threads: int) -> None:
    """Set the number of threads and, on CUDA, select deterministic kernels.

    TF32 is off, so float32 means float32; use bfloat16 for speed. A kernel without a
    deterministic version warns once, by name.
    """
    torch.set_num_threads(threads)
    if not device.startswith("cuda"):
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    warnings.filterwarnings("once", message=".*does not have a deterministic implementation.*")
    torch.use_deterministic_algorithms(True, warn_only=True)
