"""What a render must be before it is written, and what it was computed with."""

import torch
from torch import Tensor

from farm.engine.pyramid import resize
from farm.errors import PluginError
from farm.model.specs import Previous


def check_rendered(task: str, rendered: object) -> Tensor:
    """Return what the task rendered.

    Raises PluginError where it is no picture, or holds NaN or infinity.
    """
    if not isinstance(rendered, Tensor):
        raise PluginError(task, f"rendered a {type(rendered).__name__}, not a tensor")
    layout = tuple(rendered.shape)
    if len(layout) != 4 or layout[:2] != (1, 3) or 0 in layout or not rendered.is_floating_point():
        raise PluginError(
            task,
            f"rendered {rendered.dtype} of shape {list(layout)}; "
            "a picture is floating point, [1, 3, height, width]",
        )
    rendered = rendered.detach()
    broken = int((~rendered.isfinite()).sum())
    if broken:
        raise PluginError(
            task, f"rendered {broken} of {rendered.numel()} values that are no finite numbers"
        )
    return rendered


def mix_in(previous: Previous, rendered: Tensor, share: float) -> Tensor:
    """Return the rendered picture with a share (0..1) of the one before, where that is trusted.

    Both are resized to what was rendered.
    """
    height, width = rendered.shape[2:]
    trust = share * resize(previous.trust, height, width)
    return rendered.lerp(resize(previous.image, height, width), trust)


def device_kind(device: str) -> str:
    """Name what equal bytes ask to be equal: the GPU's model, or the CPU's instructions."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"cpu {torch.backends.cpu.get_cpu_capability()}"


def torch_version() -> str:
    """Return torch's version with its build, such as 2.11.0+cu128."""
    return str(torch.__version__)
