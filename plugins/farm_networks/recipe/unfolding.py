"""Turn shipped weights, without batch norm, back into a network that can be trained."""

from functools import partial
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from farm_networks.starter.network import BasicConv2d, StarterGoogLeNet


@torch.no_grad()
def unfold(network: StarterGoogLeNet, weights: Path, x: Tensor) -> None:
    """Load folded weights; batch norms get the statistics of the pictures x, and change nothing."""
    tensors = load_file(weights)
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


def _set_norm(bias: Tensor, norm: nn.BatchNorm2d, inputs: tuple[Tensor]) -> None:
    """Give the norm its input's statistics, and the scale and shift that undo them."""
    variance, mean = torch.var_mean(inputs[0], (0, 2, 3))
    norm.running_mean, norm.running_var = mean, variance
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(mean + bias)
