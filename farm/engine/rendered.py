"""Check a rendered picture; name the device and the torch version."""

import re

import torch
from torch import Tensor

from farm.errors import PluginError


class Unchanged:
    """Notices that a picture is changed in place, for which torch counts."""

    def __init__(self, image: Tensor) -> None:
        self._image, self._version = image, image._version  # noqa: SLF001 - torch has no other name

    def check(self, task: str) -> None:
        """Raise PluginError if the picture has changed."""
        if self._image._version != self._version:  # noqa: SLF001
            raise PluginError(task, "changed its input; clone it first")


def check_rendered(task: str, rendered: object) -> Tensor:
    """Return the rendered tensor.

    Raises PluginError if it is not a picture, or contains NaN or infinity.
    """
    if not isinstance(rendered, Tensor):
        raise PluginError(task, f"rendered a {type(rendered).__name__}, not a tensor")
    shape = tuple(rendered.shape)
    if len(shape) != 4 or shape[:2] != (1, 3) or 0 in shape or not rendered.is_floating_point():
        raise PluginError(
            task,
            f"rendered {rendered.dtype} of shape {list(shape)}; "
            "expected floating point of shape [1, 3, height, width]",
        )
    rendered = rendered.detach()
    broken = int((~rendered.isfinite()).sum())
    if broken:
        raise PluginError(
            task, f"rendered NaN or infinity in {broken} of {rendered.numel()} values"
        )
    return rendered


def device_kind(device: str) -> str:
    """Return what must match for identical output: the GPU's model, or what CPU kernels depend on.

    For a CPU, such as "cpu AVX512 AMD bf16", that is the instruction set; the maker, by which MKL
    chooses its kernels; and the instructions for bfloat16, by which oneDNN does.
    """
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    found = torch.cpu.get_capabilities()
    maker = re.split(r"\W", str(found.get("cpu_name", "")))[0]
    bfloat16 = "AMX" if found.get("amx_bf16") else "bf16" if found.get("avx512_bf16") else ""
    instructions = torch.backends.cpu.get_cpu_capability()
    return " ".join(filter(None, ("cpu", instructions, maker, bfloat16)))


def torch_version() -> str:
    """Return torch's version and build, such as 2.11.0+cu128."""
    return str(torch.__version__)
