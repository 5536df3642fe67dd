"""Find, check and load a network's weights: packaged, downloaded or from a file of the user.

Never runs code from a file.
"""

import re
import socket
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import file_digest
from http.client import HTTPException
from pathlib import Path
from pickle import UnpicklingError
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlparse

import torch
from safetensors.torch import load_file
from torch import Tensor, hub, nn

from farm.engine.caffemodel import read_caffemodel
from farm.errors import BadInput, BadParameter, WeightsMissing
from farm.model.specs import NetworkSpec
from farm.storage import input_path

_AUXILIARY = ("aux1.", "aux2.", "AuxLogits.", "loss1/", "loss2/")
_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.\w+$")
_TIMEOUT = 20.0
"""Seconds without data after which a download fails."""


def load_weights(
    spec: NetworkSpec, file: str | None, *, to_train: bool = False
) -> tuple[nn.Module, str]:
    """Return the network with its weights, and the sha256 of the weights file.

    file: path or URL of a .safetensors or .caffemodel file, or a .pth state dict, to use instead of the network's
    own weights. to_train: with the classifiers that only training uses, if the network has any.
    Raises WeightsMissing, or BadInput or BadParameter if the file does not fit.
    """
    path = input_path(file) if file else own_weights(spec)
    shown = file or str(path)
    state = _read(path, shown, "" if file else spec.weights.prefix)
    module = spec.build_to_train() if to_train and spec.build_to_train else spec.build()
    wanted = module.state_dict()
    state = {k: v for k, v in state.items() if k in wanted or not k.startswith(_AUXILIARY)}
    _check_fit(spec.name, shown, state, wanted)
    module.load_state_dict(state, strict=False)
    return module, _sha256(path)


def find_weights(spec: NetworkSpec) -> Path | None:
    """Return the path of the network's own weights, or None if they are not on this machine."""
    path = spec.weights.file or (_hub_file(spec.weights.url()) if spec.weights.url else None)
    return path if path is not None and path.is_file() else None


def own_weights(spec: NetworkSpec) -> Path:
    """Return the path of the network's own weights, downloaded if necessary. Raises WeightsMissing."""
    path = find_weights(spec)
    if path is None and spec.weights.url:
        path = _download(spec.name, spec.weights.url(), spec.weights.sha256)
    if path is None:
        packaged = spec.weights.file
        reason = f"{packaged} does not exist" if packaged else "the plugin provides none"
        raise WeightsMissing(spec.name, reason)
    if spec.weights.sha256 and _sha256(path) != spec.weights.sha256:
        raise WeightsMissing(
            spec.name, f"{path} is damaged (its sha256 does not match); reinstall it"
        )
    return path


def _hub_file(url: str) -> Path:
    return Path(hub.get_dir()) / "checkpoints" / Path(urlparse(url).path).name


def _download(network: str, url: str, sha256: str | None) -> Path:
    """Download with torch.hub, which checks the digest, and rename the complete file.

    The digest is the spec's, or else the one in the file name, as in torchvision's. The temporary
    folder is removed even if the process ends while a thread of it downloads.
    """
    target = _hub_file(url)
    in_name = _DIGEST.search(target.name)
    digest = sha256 or (in_name[1] if in_name else "")
    if not digest:
        raise WeightsMissing(network, f"{url} cannot be verified: its name contains no digest")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _temporary_folder(target) as folder, _socket_timeout(_TIMEOUT):
            complete = Path(folder) / target.name
            hub.download_url_to_file(url, str(complete), hash_prefix=digest, progress=False)
            complete.replace(target)
    except (OSError, HTTPException, RuntimeError, ValueError) as error:
        reason = (
            f"{url} cannot be downloaded ({_why(error)}); download it to {target} by other means"
        )
        raise WeightsMissing(network, reason) from error
    return target


def _temporary_folder(target: Path) -> TemporaryDirectory[str]:
    """Return a folder beside the target, which a thread may still write to while it is removed."""
    return TemporaryDirectory(
        prefix=f"{target.name}.", dir=target.parent, ignore_cleanup_errors=True
    )


def _why(error: Exception) -> str:
    """Return why a download failed, without the name of the library's class around it."""
    reason = getattr(error, "reason", None)
    return str(reason.strerror or reason) if isinstance(reason, OSError) else str(error)


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Set the default timeout of sockets; torch.hub has no option for it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _read(path: Path, shown: str, prefix: str) -> dict[str, Tensor]:
    if not path.is_file():
        problem = f"{shown} is a folder" if path.is_dir() else f"no such file: {shown}"
        raise BadParameter("weights", f"{problem}; give a .safetensors, .pth or .caffemodel file")
    try:
        state = _parse(path)
    except BadInput:
        raise
    except UnpicklingError as error:
        raise BadParameter(
            "weights",
            f"{shown} is not a plain state dict: it is damaged, or contains objects that could run "
            "code; use a .safetensors file instead",
        ) from error
    except Exception as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadParameter(
            "weights", f"{shown} is neither a safetensors file nor a plain state dict ({reason})"
        ) from error
    return {
        name.removeprefix(prefix): value.float()
        for name, value in state.items()
        if isinstance(name, str) and isinstance(value, Tensor) and name.startswith(prefix)
    }


def _parse(path: Path) -> Mapping[Any, Any]:
    """Return the file's content. A damaged file may raise any exception."""
    if path.suffix.lower() == ".safetensors":
        return load_file(path)
    if path.suffix.lower() == ".caffemodel":
        weights = read_caffemodel(path).weights
        return {name: torch.tensor(value) for name, value in weights.items()}
    with warnings.catch_warnings(action="ignore"):
        state = torch.load(path, map_location="cpu", weights_only=True)
    named = state.get("state_dict", state) if isinstance(state, dict) else {}
    return named if isinstance(named, dict) else {}


def _check_fit(
    network: str, shown: str, state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]
) -> None:
    missing = [k for k in wanted if k not in state and not k.endswith("num_batches_tracked")]
    extra = [k for k in state if k not in wanted]
    other = [k for k in wanted if k in state and state[k].shape != wanted[k].shape]
    for names, fault in (
        (missing, "is missing"),
        (extra, "also has"),
        (other, "has a different shape for"),
    ):
        if names:
            raise BadParameter(
                "weights",
                f"{shown} does not fit {network}: it {fault} {names[0]}{_more(names)}; "
                "choose the network it belongs to with --network",
            )


def _more(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
