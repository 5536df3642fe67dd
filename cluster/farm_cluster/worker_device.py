"""Name the device of a worker and its memory, and refuse a GPU that torch cannot use."""

import os

import psutil

from farm.errors import UserError
from farm_cluster.slots import Kind

__all__ = ["device_memory", "name_device"]


def name_device(kind: Kind) -> str:
    """Return what equal bytes depend on, of this process's device. Raises UserError."""
    from farm.engine.device import pick_device
    from farm.engine.rendered import device_kind

    device = pick_device() if kind == "gpu" else "cpu"
    if kind == "gpu" and device == "cpu":
        raise UserError(
            "it was given a GPU, but its torch finds no CUDA device; install the GPU driver and a "
            "CUDA build of torch on its node, or start the node without GPUs"
        )
    return device_kind(device)


def device_memory(kind: Kind, threads: int) -> int:
    """Return the bytes of the GPU, or the share of the machine's memory that belongs to the threads."""
    if kind == "gpu":
        import torch

        return int(torch.cuda.mem_get_info(0)[1])
    cores = os.cpu_count() or 1
    return int(psutil.virtual_memory().total * min(threads, cores) // cores)
