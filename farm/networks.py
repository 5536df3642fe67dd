"""The networks the farm brings: names, wiring and where weights come from. No torch here.

A plugin like any other: it offers its networks through farm_networks. Any further torchvision
classification model is found by its name; see torchvision_spec.
"""

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from farm.engine import starter
from farm.hookspecs import hookimpl
from farm.task import NetworkSpec, Weights

if TYPE_CHECKING:
    from torch import nn

_HALF = (0.5, 0.5, 0.5)


@hookimpl
def farm_networks() -> Iterator[NetworkSpec]:
    yield NetworkSpec(
        "starter",
        build=_build_starter,
        weights=Weights(file=starter.WEIGHTS, sha256=starter.SHA256),
        head=("inception5b", partial(_linear_head, name="fc")),
        classes=_starter_classes,
        description="a small GoogLeNet that comes with the farm",
    )
    for name in ("googlenet", "inception_v3", "resnet50", "squeezenet1_0", "vgg16", "vgg19"):
        yield torchvision_spec(name)


def torchvision_spec(name: str) -> NetworkSpec:
    """Describe torchvision's classification model of this name, as trained on ImageNet."""
    family = name.rstrip("0123456789_bn")
    # torchvision feeds these two 2x - 1, undoing the ImageNet normalisation in the network.
    mean_std = {"mean": _HALF, "std": _HALF} if name in ("googlenet", "inception_v3") else {}
    return NetworkSpec(
        name,
        build=partial(_build_torchvision, name),
        weights=Weights(url=partial(_torchvision_url, name)),
        aliases=_vgg_aliases(name) if family == "vgg" else {},
        head=_head(name),
        classes=partial(_torchvision_classes, name),
        description="torchvision, ImageNet",
        **mean_std,
    )


def _head(name: str) -> Any:
    heads = {
        "googlenet": ("inception5b", partial(_linear_head, name="fc")),
        "inception_v3": ("Mixed_7c", partial(_linear_head, name="fc")),
        "squeezenet1_0": ("features.12", _squeezenet_head),
        "squeezenet1_1": ("features.12", _squeezenet_head),
    }
    if name.startswith("vgg"):
        return ("features", _vgg_head)
    if name.startswith(("resnet", "resnext", "wide_resnet")):
        return ("layer4", partial(_linear_head, name="fc"))
    return heads.get(name)


def _build_starter() -> "nn.Module":
    from farm.engine.starter.network import StarterGoogLeNet

    return StarterGoogLeNet(folded=True)


def _starter_classes() -> tuple[str, ...]:
    import json

    from safetensors import safe_open

    with safe_open(starter.WEIGHTS, framework="np") as file:
        return tuple(json.loads(file.metadata()["classes"]))


def _build_torchvision(name: str) -> "nn.Module":
    """Build the architecture without drawing random weights, which takes longer than loading."""
    import torch
    from torchvision import models

    options: dict[str, Any] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "transform_input": False, "init_weights": False}
    device = torch.get_default_device()
    try:
        with torch.device("meta"):
            model: nn.Module = models.get_model(name, weights=None, **options)
    except NotImplementedError:  # RegNet reads numbers from tensors while it is built
        with torch.device("cpu"):
            model = models.get_model(name, weights=None, **options)
    model.to_empty(device=device)
    for value in (*model.parameters(), *model.buffers()):
        value.detach().zero_()
    return model


def _torchvision_weights(name: str) -> Any:
    from torchvision import models

    known = models.get_model_weights(name)
    return known.__members__.get("IMAGENET1K_V1", known.DEFAULT)


def _torchvision_url(name: str) -> str:
    return str(_torchvision_weights(name).url)


def _torchvision_classes(name: str) -> tuple[str, ...]:
    return tuple(_torchvision_weights(name).meta["categories"])


def _vgg_aliases(name: str) -> dict[str, str]:
    """Return the papers' names, such as relu4_2, for torchvision's numbered layers."""
    depths = {"vgg11": (1, 1, 2, 2, 2), "vgg13": (2, 2, 2, 2, 2), "vgg16": (2, 2, 3, 3, 3)}
    has_norm = name.endswith("_bn")
    kinds = ("conv", "bn", "relu") if has_norm else ("conv", "relu")
    aliases, index = {}, 0
    for block, depth in enumerate(depths.get(name.removesuffix("_bn"), (2, 2, 4, 4, 4)), 1):
        for layer in range(1, depth + 1):
            for kind in kinds:
                aliases[f"{kind}{block}_{layer}"] = f"features.{index}"
                index += 1
        aliases[f"pool{block}"] = f"features.{index}"
        index += 1
    return aliases


def _linear_head(model: Any, name: str) -> "nn.Module":
    """Read the classifier at every position; its mean is the classifier of the mean."""
    from torch import nn

    linear = getattr(model, name)
    return _as_conv(nn, linear, linear.in_features, 1)


def _squeezenet_head(model: Any) -> "nn.Module":
    from torch import nn

    return nn.Sequential(model.classifier[1], nn.ReLU())


def _vgg_head(model: Any) -> "nn.Module":
    """Return VGG's classifier applied densely.

    Source: Simonyan & Zisserman 2014, arXiv 1409.1556, section 3.2 (dense evaluation).
    """
    from torch import nn

    first, second, third = (model.classifier[i] for i in (0, 3, 6))
    return nn.Sequential(
        _as_conv(nn, first, 512, 7),
        nn.ReLU(),
        _as_conv(nn, second, second.in_features, 1),
        nn.ReLU(),
        _as_conv(nn, third, third.in_features, 1),
    )


def _as_conv(nn: Any, linear: Any, channels: int, kernel: int) -> "nn.Module":
    conv = nn.Conv2d(channels, linear.out_features, kernel, device="meta")
    conv.weight = nn.Parameter(linear.weight.detach().view_as(conv.weight))
    conv.bias = linear.bias
    return conv  # type: ignore[no-any-return]
