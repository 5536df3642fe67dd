"""Find, check and load a network's weights: packaged, given, or torchvision's. No unpickling."""

from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, hub, nn

from farm.errors import BadParameter, WeightsMissing
from farm.task import NetworkSpec

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.")


def load_weights(spec: NetworkSpec, given: str | None) -> tuple[nn.Module, str]:
    """Build the network with its weights, and return it with the weights file's sha256.

    given: a .safetensors file or a .pth state dict, instead of the network's own weights.
    Raises WeightsMissing, or BadParameter when the file does not fit.
    """
    path = Path(given) if given else _own(spec)
    state = _read(path)
    module = spec.build()
    _check_fit(spec.name, path, state, module.state_dict())
    module.load_state_dict(state, strict=False)
    return module, _sha256(path)


def find_weights(spec: NetworkSpec) -> Path | None:
    """Return the file of the network's own weights, if it is on this machine."""
    path = spec.weights.file or (_hub_file(spec.weights.url()) if spec.weights.url else None)
    return path if path is not None and path.is_file() else None


def _own(spec: NetworkSpec) -> Path:
    path = find_weights(spec)
    if path is None and spec.weights.url:
        path = _fetch(spec.name, spec.weights.url())
    if path is None:
        where = spec.weights.file or "it brings none"
        raise WeightsMissing(spec.name, f"no file ({where})")
    if spec.weights.sha256 and _sha256(path) != spec.weights.sha256:
        raise WeightsMissing(spec.name, f"{path} is damaged (its sha256 differs); reinstall it")
    return path


def _hub_file(url: str) -> Path:
    return Path(hub.get_dir()) / "checkpoints" / url.rsplit("/", 1)[-1]


def _fetch(network: str, url: str) -> Path:
    """Download through torch.hub, which checks the digest in the name and renames at the end."""
    target = _hub_file(url)
    digest = target.stem.rsplit("-", 1)[-1]
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        hub.download_url_to_file(url, str(target), hash_prefix=digest, progress=False)
    except (OSError, URLError, RuntimeError) as error:
        raise WeightsMissing(network, f"{url} cannot be fetched ({error})") from error
    return target


def _read(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise BadParameter("weights", f"no such file: {path}")
    try:
        if path.suffix == ".safetensors":
            state: dict[str, Any] = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        reason = str(error).splitlines()[0][:200]
        raise BadParameter(
            "weights", f"{path} is neither safetensors nor a plain state dict ({reason})"
        ) from error
    named = state.get("state_dict", state) if isinstance(state, dict) else {}
    tensors = {k: v.float() for k, v in named.items() if isinstance(v, Tensor)}
    return {k: v for k, v in tensors.items() if not k.startswith(_AUXILIARY)}


def _check_fit(
    network: str, path: Path, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in wanted]
    other = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    for names, fault in ((missing, "lacks"), (extra, "has also"), (other, "differs in shape at")):
        if names:
            raise BadParameter(
                "weights",
                f"{path} does not fit {network}: it {fault} {names[0]} and {len(names) - 1} more; "
                "give the network's own --network name",
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
