"""All that a training run must remember, and how it is written, checked and read back.

A state is networks, optimisers and the number of the next step. Nothing else may differ between
a run that was stopped and one that was not: order of data, augmentation and noise are functions
of seed, step and row (see training), so there is no cursor and no generator to restore.
Files hold tensors and JSON, and run no code when they are read.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn
from torch.optim import Optimizer

from farm.errors import BadInput
from farm.storage import open_whole

Facts = Mapping[str, str | int | float | bool | None]

_HEADER: Final = "farm-run"
_FORMAT: Final = 1


@dataclass
class TrainState:
    """Everything a run is, between two steps.

    modules, optimizers: by name; they are changed in place. facts: what must be equal for a run to
    be gone on with: data, networks, sizes. step: steps done. extra: further tensors, by name.
    """

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]
    seed: int
    facts: Facts = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    step: int = 0

    def digest(self) -> str:
        """Return the sha256 of all of it."""
        tensors, numbers = self._parts()
        return _digest(tensors, self._header(numbers))

    def save(self, path: Path) -> None:
        """Write the state to a .safetensors file, whole or not at all."""
        tensors, numbers = self._parts()
        header = self._header(numbers)
        header["digest"] = _digest(tensors, header)
        header["tensors"] = sorted(tensors)
        content = save(tensors, {_HEADER: json.dumps(header, sort_keys=True)})
        with open_whole(path) as file:
            file.write(content)

    def load(self, path: Path) -> None:
        """Become what was saved in the file.

        Raises BadInput, with nothing changed, where the file is damaged, lacks anything, has
        anything besides, or is of a run with other facts.
        """
        tensors, header = _read(path)
        self._check(path, tensors, header)
        for name, module in self.modules.items():
            module.load_state_dict(_under(tensors, f"module/{name}/"), strict=True)
        for name, optimizer in self.optimizers.items():
            kept = _under(tensors, f"optimizer/{name}/")
            optimizer.load_state_dict(_optimizer_state(kept, header["optimizers"][name], optimizer))
        for name, value in _under(tensors, "extra/").items():
            self.extra[name].copy_(value)
        self.step = header["step"]

    def _check(self, path: Path, tensors: Mapping[str, Tensor], header: dict[str, Any]) -> None:
        """Refuse what is not a state of this very run."""
        for name, mine, theirs in (
            ("facts", dict(self.facts), header["facts"]),
            ("seed", {"seed": self.seed}, {"seed": header["seed"]}),
            ("optimisers", self._kinds(), {k: v["kind"] for k, v in header["optimizers"].items()}),
        ):
            for key in sorted({*mine, *theirs}):
                if mine.get(key) != theirs.get(key):
                    raise BadInput(
                        str(path),
                        f"is of another run: {name} {key} was {theirs.get(key)!r}, is now "
                        f"{mine.get(key)!r}; give another folder with -o, or the same parameters",
                    )
        wanted = {k: v for k, v in self._parts()[0].items() if not k.startswith("optimizer/")}
        found = {k: v for k, v in tensors.items() if not k.startswith("optimizer/")}
        _check_names(path, wanted, found)
        for key, value in wanted.items():
            if value.shape != found[key].shape or value.dtype != found[key].dtype:
                raise BadInput(str(path), f"{key} has another shape or precision; {_AGAIN}")

    def _kinds(self) -> dict[str, str]:
        return {name: type(optimizer).__name__ for name, optimizer in self.optimizers.items()}

    def _header(self, numbers: dict[str, Any]) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "step": self.step,
            "seed": self.seed,
            "facts": dict(self.facts),
            "optimizers": numbers,
        }

    def _parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return every tensor by name, and every optimiser's plain numbers."""
        tensors = {f"extra/{name}": value for name, value in self.extra.items()}
        for name, module in self.modules.items():
            for key, value in module.state_dict().items():
                tensors[f"module/{name}/{key}"] = value
        numbers: dict[str, Any] = {}
        for name, optimizer in self.optimizers.items():
            kept = optimizer.state_dict()
            plain: dict[str, dict[str, Any]] = {}
            for index, key, value in _entries(kept["state"]):
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{name}/{index}/{key}"] = value
                else:
                    plain.setdefault(str(index), {})[key] = value
            kind = type(optimizer).__name__
            numbers[name] = {"kind": kind, "groups": kept["param_groups"], "plain": plain}
        return {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, numbers


_AGAIN: Final = "remove the file to go on from the one before"


def _entries(state: Mapping[int, Mapping[str, Any]]) -> Iterator[tuple[int, str, Any]]:
    for index, entry in state.items():
        for key, value in entry.items():
            yield index, key, value


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    found = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        found.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        found.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return tensors and header of a file whose digest is right. Raises BadInput."""
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BadInput(str(path), f"is no checkpoint of a run ({reason}); {_AGAIN}") from error
    if header.get("format") != _FORMAT:
        raise BadInput(str(path), f"is of format {header.get('format')!r}, not {_FORMAT}; {_AGAIN}")
    digest, names = header.pop("digest"), header.pop("tensors")
    _check_names(path, dict.fromkeys(names), tensors)
    if _digest(tensors, header) != digest:
        raise BadInput(str(path), f"is damaged: its digest differs; {_AGAIN}")
    return tensors, header


def _check_names(path: Path, wanted: Mapping[str, object], found: Mapping[str, object]) -> None:
    for names, fault in ((wanted.keys() - found, "lacks"), (found.keys() - wanted, "has also")):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise BadInput(str(path), f"{fault} {min(names)}{more}; {_AGAIN}")


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _optimizer_state(
    tensors: Mapping[str, Tensor], numbers: Mapping[str, Any], optimizer: Optimizer
) -> dict[str, Any]:
    """Return what the optimiser's load_state_dict takes; JSON has made lists of its tuples."""
    state: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in numbers["plain"].items()}
    for name, value in tensors.items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = value
    groups = []
    for kept, mine in zip(numbers["groups"], optimizer.state_dict()["param_groups"], strict=True):
        groups.append({k: tuple(v) if isinstance(mine[k], tuple) else v for k, v in kept.items()})
    return {"state": state, "param_groups": groups}
