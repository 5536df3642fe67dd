"""Checkpoints restore the complete state, and invalid ones are refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from farm.engine.training import TrainState, load_modules, read_facts
from farm.engine.training.runs import find_checkpoint
from farm.errors import BadInput

from .runs import make_state, run


def test_saving_changes_nothing_and_loading_restores_everything(tmp_path: Path) -> None:
    state = run(tmp_path, 5)
    before = state.digest()
    state.save(tmp_path / "a.safetensors")
    fresh = make_state()
    assert fresh.digest() != before
    fresh.load(tmp_path / "a.safetensors")
    assert fresh.digest() == state.digest() == before


def rewrite(path: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> Path:
    """Write a changed copy of a checkpoint; return its path."""
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["farm-run"])
    change(tensors, header)
    save_file(tensors, path.with_name("changed.safetensors"), {"farm-run": json.dumps(header)})
    return path.with_name("changed.safetensors")


def test_a_checkpoint_with_missing_or_unexpected_tensors_is_refused(tmp_path: Path) -> None:
    state = run(tmp_path, 5)
    path = find_checkpoint(tmp_path)
    with safe_open(path, "pt") as file:
        names = list(file.keys())
    assert any(name.startswith("optimizer/net/0/exp_avg_sq") for name in names)
    fresh = make_state()
    blank = fresh.digest()
    for name in names:

        def drop(tensors: dict[str, Tensor], header: dict[str, Any], name: str = name) -> None:
            del tensors[name]

        with pytest.raises(BadInput, match=f"is missing {name}"):
            fresh.load(rewrite(path, drop))

        def drop_from_header_too(
            tensors: dict[str, Tensor], header: dict[str, Any], name: str = name
        ) -> None:
            del tensors[name]
            header["tensors"].remove(name)

        with pytest.raises(BadInput, match=r"is missing|digest does not match"):
            fresh.load(rewrite(path, drop_from_header_too))
    with pytest.raises(BadInput, match=r"also has module/net/9\.bias"):
        fresh.load(rewrite(path, lambda t, _: t.update({"module/net/9.bias": torch.zeros(1)})))
    with pytest.raises(BadInput, match="digest does not match"):
        fresh.load(rewrite(path, lambda t, _: t["module/net/0.bias"].add_(1)))
    with pytest.raises(BadInput, match="digest does not match"):
        fresh.load(rewrite(path, lambda _, h: h.update(step=6)))
    assert fresh.digest() == blank
    assert state.step == 5


def test_an_optimiser_gets_its_tensors_back_in_the_layout_of_their_parameters(
    tmp_path: Path,
) -> None:
    def make() -> TrainState:
        net = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return TrainState({"net": net}, {"net": torch.optim.Adam(net.parameters())}, 0)

    state = make()
    state.modules["net"](torch.ones(1, 3, 8, 8)).sum().backward()
    state.optimizers["net"].step()
    state.save(tmp_path / "a.safetensors")
    fresh = make()
    fresh.load(tmp_path / "a.safetensors")
    assert fresh.digest() == state.digest()
    for parameter, moments in fresh.optimizers["net"].state.items():
        assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == parameter.stride()


@pytest.mark.parametrize(
    "header",
    [
        [],
        {"format": 2},
        {"format": 2, "step": 5, "seed": 5, "facts": 1},
        "[" * 100_000,
    ],
    ids=["list", "empty", "facts", "deep"],
)
def test_a_header_of_another_kind_is_refused_in_one_line(tmp_path: Path, header: object) -> None:
    path = tmp_path / "a.safetensors"
    text = header if isinstance(header, str) else json.dumps(header)
    save_file({"a": torch.zeros(1)}, path, {"farm-run": text})
    for read in (make_state().load, read_facts, lambda path: load_modules(path, {})):
        with pytest.raises(BadInput, match="is not a training checkpoint") as error:
            read(path)
        assert "\n" not in str(error.value)
