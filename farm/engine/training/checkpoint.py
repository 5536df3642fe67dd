"""The state of a training run: how it is saved, checked and loaded.

A state consists of networks, optimisers, a few plain values and the number of the next step. Data
order, augmentation and noise are functions of seed, step and row (see rows), so there is no cursor
and no random generator to restore. Files contain tensors and JSON; loading one never runs code.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
_FORMAT: Final = 2
_KINDS: Final = {
    "step": int,
    "seed": int,
    "facts": dict,
    "memory": dict,
    "optimizers": dict,
    "digest": str,
    "tensors": list,
}
"""What a header consists of."""

SAME_AGAIN: Final = "use that again to continue it, or choose another folder with -o"
"""What to do about a run that was begun with another value."""

_NEXT_STEP: Final = "remove it to resume from the previous checkpoint"


@dataclass
class TrainState:
    """The complete state of a run between two steps.

    modules, optimizers: by name; modified in place. A moving average of a network is one more
    module. facts: what must not change when a run is resumed, such as data, networks and sizes; of
    those that have changed, the first is named. step: steps done. extra: further tensors, by name.
    memory: further values that JSON can hold and that change while the run trains.
    """

    modules: Mapping[str, nn.Module]
    optimizers: Mapping[str, Optimizer]
    seed: int
    facts: Facts = field(default_factory=dict)
    extra: dict[str, Tensor] = field(default_factory=dict)
    memory: dict[str, Any] = field(default_factory=dict)
    step: int = 0

    def digest(self) -> str:
        """Return the sha256 of the whole state."""
        tensors, optimizers = self._parts()
        return _digest(tensors, self._header(optimizers))

    def save(self, path: Path) -> None:
        """Write the state to a .safetensors file, atomically."""
        tensors, optimizers = self._parts()
        header = self._header(optimizers)
        header["digest"] = _digest(tensors, header)
        header["tensors"] = sorted(tensors)
        content = save(tensors, {_HEADER: json.dumps(header, sort_keys=True)})
        with open_whole(path) as file:
            file.write(content)

    def load(self, path: Path) -> None:
        """Replace the state with the one saved in the file.

        Raises BadInput, and changes nothing, if the file is damaged, has missing or unexpected
        tensors, or belongs to a run with other facts.
        """
        tensors, header = _read(path)
        self._check(path, tensors, header)
        for name, module in self.modules.items():
            module.load_state_dict(_under(tensors, f"module/{name}/"), strict=True)
        for name, optimizer in self.optimizers.items():
            saved = _under(tensors, f"optimizer/{name}/")
            optimizer.load_state_dict(
                _optimizer_state(saved, header["optimizers"][name], optimizer)
            )
        for name, value in _under(tensors, "extra/").items():
            self.extra[name].copy_(value)
        self.memory.clear()
        self.memory.update(header["memory"])
        self.step = header["step"]

    def _check(self, path: Path, tensors: Mapping[str, Tensor], header: dict[str, Any]) -> None:
        """Raise BadInput unless the file is a state of this run."""
        _check_same_run(path, "", dict(self.facts), header["facts"])
        _check_same_run(path, "", {"seed": self.seed}, {"seed": header["seed"]})
        saved_kinds = {name: entry["kind"] for name, entry in header["optimizers"].items()}
        _check_same_run(path, "the optimiser of ", self._optimizer_kinds(), saved_kinds)
        wanted = _without_optimizers(self._parts()[0])
        saved = _without_optimizers(tensors)
        _check_names(path, wanted, saved)
        _check_shapes(path, wanted, saved)

    def _optimizer_kinds(self) -> dict[str, str]:
        return {name: type(optimizer).__name__ for name, optimizer in self.optimizers.items()}

    def _header(self, optimizers: dict[str, Any]) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "step": self.step,
            "seed": self.seed,
            "facts": dict(self.facts),
            "memory": self.memory,
            "optimizers": optimizers,
        }

    def _parts(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """Return all tensors by name, and the optimisers' other values."""
        tensors = {f"extra/{name}": value for name, value in self.extra.items()}
        for name, module in self.modules.items():
            for key, value in module.state_dict().items():
                tensors[f"module/{name}/{key}"] = value
        optimizers: dict[str, Any] = {}
        for name, optimizer in self.optimizers.items():
            state = optimizer.state_dict()
            plain: dict[str, dict[str, Any]] = {}
            for index, key, value in _entries(state["state"]):
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{name}/{index}/{key}"] = value
                else:
                    plain.setdefault(str(index), {})[key] = value
            kind = type(optimizer).__name__
            optimizers[name] = {"kind": kind, "groups": state["param_groups"], "plain": plain}
        return {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, optimizers


def load_modules(path: Path, modules: Mapping[str, nn.Module]) -> Facts:
    """Load some of the modules of a checkpoint, by name, and return the facts of its run.

    Raises BadInput, and changes nothing, if the file is damaged or a module does not fit.
    """
    tensors, header = _read(path)
    for name, module in modules.items():
        wanted = {f"module/{name}/{key}": value for key, value in module.state_dict().items()}
        _check_names(path, wanted, {k: v for k, v in tensors.items() if k in wanted})
        _check_shapes(path, wanted, tensors)
    for name, module in modules.items():
        module.load_state_dict(_under(tensors, f"module/{name}/"), strict=True)
    facts: Facts = header["facts"]
    return facts


def read_facts(path: Path) -> Facts:
    """Return the facts of the run that a checkpoint belongs to, without reading its tensors.

    Raises BadInput.
    """
    return read_origin(path)[0]


def read_origin(path: Path) -> tuple[Facts, int]:
    """Return the facts and the seed of the run that a checkpoint belongs to. Raises as read_facts."""
    with _open(path) as (_, header):
        facts: Facts = header["facts"]
        return facts, header["seed"]


def _entries(state: Mapping[int, Mapping[str, Any]]) -> Iterator[tuple[int, str, Any]]:
    for index, entry in state.items():
        for key, value in entry.items():
            yield index, key, value


def _digest(tensors: Mapping[str, Tensor], header: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, value in sorted(tensors.items()):
        digest.update(f"{name} {value.dtype} {list(value.shape)}".encode())
        digest.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors and header of a file, verified by its digest. Raises BadInput."""
    with _open(path) as (file, header):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    digest, names = header.pop("digest"), header.pop("tensors")
    _check_names(path, dict.fromkeys(map(str, names)), tensors)
    if _digest(tensors, header) != digest:
        raise BadInput(str(path), f"is damaged: its digest does not match; {_NEXT_STEP}")
    return tensors, header


@contextmanager
def _open(path: Path) -> Iterator[tuple[Any, dict[str, Any]]]:
    """Open a file and read its header. Raises BadInput, also for what the block cannot read."""
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            _check_header(path, header)
            yield file, header
    except FileNotFoundError as error:
        reason = "does not exist; a run keeps only its newest checkpoints"
        raise BadInput(str(path), reason) from error
    except (OSError, SafetensorError, KeyError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BadInput(
            str(path), f"is not a training checkpoint ({reason}); {_NEXT_STEP}"
        ) from error


def _check_header(path: Path, header: object) -> None:
    """Raise BadInput for a header of another format, ValueError for one that lacks something."""
    if not isinstance(header, dict):
        raise ValueError("its header is no object")  # noqa: TRY004 - of a file, not of an argument
    if header.get("format") != _FORMAT:
        raise BadInput(
            str(path), f"has format {header.get('format')!r}, not {_FORMAT}; {_NEXT_STEP}"
        )
    for name, kind in _KINDS.items():
        if not isinstance(header.get(name), kind):
            raise ValueError(f"its header has no {name}")  # noqa: TRY004 - as above


def _check_same_run(
    path: Path, label: str, current: Mapping[str, object], saved: Mapping[str, object]
) -> None:
    for key in dict.fromkeys((*current, *saved)):
        if current.get(key) != saved.get(key):
            raise other_run(str(path), f"{label}{key}", saved.get(key), current.get(key))


def other_run(checkpoint: str, name: str, saved: object, current: object) -> BadInput:
    """Return the error of a checkpoint whose run had another value of what is named."""
    return BadInput(
        checkpoint,
        f"belongs to another run: {name} was {shown(saved)} and is now {shown(current)}; {SAME_AGAIN}",
    )


def shown(value: object) -> str:
    """Return a fact for a message; of a digest, its beginning."""
    is_digest = isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value)
    return f"{value[:12]}..." if isinstance(value, str) and is_digest else repr(value)


def _check_shapes(path: Path, wanted: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    for key, value in wanted.items():
        if value.shape != saved[key].shape or value.dtype != saved[key].dtype:
            raise BadInput(str(path), f"{key} has a different shape or precision; {_NEXT_STEP}")


def _check_names(path: Path, wanted: Mapping[str, object], saved: Mapping[str, object]) -> None:
    for names, fault in (
        (wanted.keys() - saved, "is missing"),
        (saved.keys() - wanted, "also has"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise BadInput(str(path), f"{fault} {min(names)}{more}; {_NEXT_STEP}")


def _without_optimizers(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {k: v for k, v in tensors.items() if not k.startswith("optimizer/")}


def _under(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _optimizer_state(
    tensors: Mapping[str, Tensor], saved: Mapping[str, Any], optimizer: Optimizer
) -> dict[str, Any]:
    """Return the argument of the optimiser's load_state_dict; JSON turned its tuples into lists."""
    state: dict[int, dict[str, Any]] = {int(k): dict(v) for k, v in saved["plain"].items()}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for name, value in tensors.items():
        index, _, key = name.partition("/")
        state.setdefault(int(index), {})[key] = _laid_out(value, parameters[int(index)])
    groups = []
    own_groups = optimizer.state_dict()["param_groups"]
    for group, own in zip(saved["groups"], own_groups, strict=True):
        groups.append({k: tuple(v) if isinstance(own[k], tuple) else v for k, v in group.items()})
    return {"state": state, "param_groups": groups}


def _laid_out(value: Tensor, parameter: Tensor) -> Tensor:
    """Return a value in the memory layout of its parameter, as the optimiser had made it.

    With another layout it takes other kernels, which are slower, and on a GPU may round differently.
    """
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)
