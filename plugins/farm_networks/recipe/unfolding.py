"""Turn shipped weights, without batch norm, back into a network that can be trained."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from farm_networks.starter.network import (
    BLOCKS,
    READERS,
    WRITERS,
    BasicConv2d,
    StarterGoogLeNet,
    fold,
)


@torch.no_grad()
def unfold(network: StarterGoogLeNet, weights: Path, x: Tensor) -> None:
    """Load folded weights; batch norms get the statistics of the pictures x, and change nothing.

    If blocks are narrower in the file, their channels are joined by new ones with random weights. The
    channels of the file do not read these at first, so that the scores are still those of the file.
    Source: Chen, Goodfellow and Shlens, "Net2Net", 2016, arXiv:1511.05641. Differs: new channels
    are not copies of others.
    """
    tensors = _widened(fold(network), load_file(weights))
    biases = {
        name: tensors.pop(name).float() for name in list(tensors) if name.endswith("conv.bias")
    }
    network.load_state_dict(tensors, strict=False)
    handles = []
    for name, module in network.named_modules():
        if isinstance(module, BasicConv2d) and isinstance(module.bn, nn.BatchNorm2d):
            set_norm = partial(_set_norm, biases[f"{name}.conv.bias"])
            handles.append(module.bn.register_forward_pre_hook(set_norm))
    network.eval()(x)
    for handle in handles:
        handle.remove()


@torch.no_grad()
def _widened(network: StarterGoogLeNet, narrow: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the folded network's tensors, with narrower ones in the places of their first channels."""
    wide = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    read = _inputs(wide, narrow)
    for name, tensor in narrow.items():
        outputs = len(tensor)
        if tensor.ndim == 1:
            wide[name][:outputs] = tensor
        else:
            wide[name][:outputs] = 0
            wide[name][:outputs, read[name]] = tensor.to(wide[name].dtype)
    return wide


def _inputs(wide: Mapping[str, Tensor], narrow: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return, for each weight of the file, the channels that it reads in the wider network."""
    read = {name: torch.arange(t.shape[1]) for name, t in narrow.items() if t.ndim > 1}
    before: Tensor | None = None
    for block in BLOCKS:
        if before is not None:
            read |= {f"{block}.{reader}.conv.weight": before for reader in READERS}
        before = _positions(block, wide, narrow)
    assert before is not None
    return read | {"fc.weight": before}


def _positions(block: str, wide: Mapping[str, Tensor], narrow: Mapping[str, Tensor]) -> Tensor:
    """Return where the file's channels of a block are among those of the wider one."""
    parts, start = [], 0
    for branch in WRITERS:
        name = f"{block}.{branch}.conv.bias"
        parts.append(start + torch.arange(len(narrow[name])))
        start += len(wide[name])
    return torch.cat(parts)


def _set_norm(bias: Tensor, norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    """Give the norm its input's statistics, and the scale and shift that undo them."""
    variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
    norm.running_mean, norm.running_var = mean, variance
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean + bias)
