"""torchvision's classification models as networks: builders, layer names and weights URLs."""

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from farm import NetworkSpec, Weights
from farm_networks.heads import as_convolution, linear_head

if TYPE_CHECKING:
    from torch import nn

LISTED: Final = ("googlenet", "inception_v3", "resnet50", "squeezenet1_0", "vgg16", "vgg19")
"""The models that `farm networks` lists; every other model can be used by name."""

_HALF: Final = (0.5, 0.5, 0.5)

_AUXILIARY: Final = ("googlenet", "inception_v3")
"""Models with further classifiers, which only training uses."""


def torchvision_names() -> list[str]:
    """Return the names of all torchvision classification models."""
    from torchvision import models

    return list(models.list_models(module=models))


def torchvision_spec(name: str) -> NetworkSpec:
    """Describe the torchvision classification model of this name, trained on ImageNet."""
    family = name.rstrip("0123456789_bn")
    # These two expect 2x - 1 as input; torchvision converts to it inside the network.
    mean_std: dict[str, Any] = {"mean": _HALF, "std": _HALF} if name in _AUXILIARY else {}
    return NetworkSpec(
        name,
        build=partial(_build, name),
        build_to_train=partial(_build, name, auxiliary=True) if name in _AUXILIARY else None,
        weights=Weights(url=partial(_url, name)),
        aliases=_vgg_aliases(name) if family == "vgg" else {},
        head=_head(name),
        classes=partial(_classes, name),
        description="torchvision, ImageNet",
        **mean_std,
    )


def _build(name: str, *, auxiliary: bool = False) -> "nn.Module":
    """Build the architecture without random initialisation, which is slower than loading.

    auxiliary: with the classifiers that only training uses.
    """
    import torch
    from torchvision import models

    options: dict[str, Any] = {}
    if name in _AUXILIARY:
        options = {"aux_logits": auxiliary, "transform_input": False, "init_weights": False}
    device = torch.get_default_device()
    try:
        with torch.device("meta"):
            model: nn.Module = models.get_model(name, weights=None, **options)
    except NotImplementedError:  # RegNet reads tensor values in its constructor
        with torch.device("cpu"):
            model = models.get_model(name, weights=None, **options)
    model.to_empty(device=device)
    for value in (*model.parameters(), *model.buffers()):
        value.detach().zero_()
    return model


def _weights(name: str) -> Any:
    from torchvision import models

    known = models.get_model_weights(name)
    return known.__members__.get("IMAGENET1K_V1", known.DEFAULT)


def _url(name: str) -> str:
    return str(_weights(name).url)


def _classes(name: str) -> tuple[str, ...]:
    return tuple(_weights(name).meta["categories"])


def _vgg_aliases(name: str) -> dict[str, str]:
    """Map the paper's names, such as relu4_2, to torchvision's numbered layers."""
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


def _head(name: str) -> Any:
    heads = {
        "googlenet": ("inception5b", partial(linear_head, name="fc")),
        "inception_v3": ("Mixed_7c", partial(linear_head, name="fc")),
        "squeezenet1_0": ("features.12", _squeezenet_head),
        "squeezenet1_1": ("features.12", _squeezenet_head),
    }
    if name.startswith("vgg"):
        return ("features", _vgg_head)
    if name.startswith(("resnet", "resnext", "wide_resnet")):
        return ("layer4", partial(linear_head, name="fc"))
    return heads.get(name)


def _squeezenet_head(model: Any) -> "nn.Module":
    from torch import nn

    return nn.Sequential(model.classifier[1], nn.ReLU())


def _vgg_head(model: Any) -> "nn.Module":
    """Return VGG's classifier, applied densely.

    Source: Simonyan & Zisserman 2014, arXiv 1409.1556, section 3.2 (dense evaluation).
    """
    from torch import nn

    first, second, third = (model.classifier[i] for i in (0, 3, 6))
    return nn.Sequential(
        as_convolution(first, 512, 7),
        nn.ReLU(),
        as_convolution(second, second.in_features, 1),
        nn.ReLU(),
        as_convolution(third, third.in_features, 1),
    )
