"""Fine-tuned networks by name: the folder of a run, RUN@STEP, or the file that a run has written."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from farm import BadInput, NetworkSpec, Weights, input_path

if TYPE_CHECKING:
    from torch import nn

TASK: Final = "finetune"
RESULT: Final = "network.safetensors"
MODULE: Final = "network"
"""The trained network's name in a checkpoint."""

_HEADER: Final = "farm-finetune"


@dataclass(frozen=True)
class _Tuned:
    """A fine-tuned network in a file.

    facts: of the checkpoint. lasting_name: see NetworkSpec. prefix: of its tensors in the file.
    """

    file: Path
    facts: Mapping[str, Any]
    lasting_name: str
    prefix: str = ""


def tuned_network(name: str, find: Callable[[str], NetworkSpec]) -> NetworkSpec | None:
    """Return the fine-tuned network of this name, or None. find: returns another network by name.

    A run's folder stands for its newest checkpoint, also while the run goes on. Raises BadInput for
    a path without a fine-tuned network, or without a checkpoint at the step.
    """
    tuned = _find(name)
    if tuned is None:
        return None
    base = find(tuned.facts["network"])
    categories = tuple(json.loads(tuned.facts["categories"]))
    build = partial(_build, base.name, len(categories))
    return replace(
        base,
        name=name,
        build=partial(build, base.build),
        build_to_train=partial(build, base.build_to_train) if base.build_to_train else None,
        weights=Weights(file=tuned.file, prefix=tuned.prefix),
        classes=partial(tuple, categories),
        description=f"{base.name}, fine-tuned on {', '.join(categories[:3])}",
        lasting_name=tuned.lasting_name,
    )


def origin_of(network: str) -> str:
    """Return the name of the network that this one was first fine-tuned from, or its own."""
    tuned = _find(network)
    return str(tuned.facts["network"]) if tuned else network


def write_network(path: Path, network: "nn.Module", facts: Mapping[str, object]) -> None:
    """Write a trained network to a file, whole or not at all. facts: of the run."""
    from safetensors.torch import save

    from farm.engine.training import write_whole

    tensors = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    write_whole(path, save(tensors, {_HEADER: json.dumps(facts, sort_keys=True)}))


def _find(name: str) -> _Tuned | None:
    """Return where the fine-tuned network of this name is; None if it is neither a path nor a URL."""
    from farm.engine.training.runs import FACTS

    if "://" in name:
        return _at_url(name)
    path = Path(name)
    if path.is_file():
        is_tensors = path.suffix == ".safetensors"
        return _in_file(path, str(path.absolute())) if is_tensors else None
    run, at, step = name.rpartition("@")
    if path.is_dir() or not (at and step.isdecimal()):
        run, step = name, ""
    if (Path(run) / FACTS).is_file() or step:
        return _in_run(Path(run).absolute(), int(step) if step else None)
    if "/" in name and not path.suffix:
        return _in_run(path, None)  # says what is wrong with it
    return None


def _at_url(url: str) -> _Tuned:
    if url.endswith(".safetensors"):
        return _in_file(input_path(url), url)
    run, at, step = url.rpartition("@")
    return _in_run(run, int(step)) if at and step.isdecimal() else _in_run(url, None)


def _in_file(path: Path, lasting_name: str) -> _Tuned:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "np") as file:
            facts = json.loads((file.metadata() or {})[_HEADER])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise BadInput(
            lasting_name,
            "is not a network that `farm finetune` has written; give other weights with --weights, "
            "and the network they belong to with --network",
        ) from error
    return _Tuned(path, facts, lasting_name)


def _in_run(run: Path | str, step: int | None) -> _Tuned:
    """Return a checkpoint of a run. run: path or URL. step: None for the newest. Raises BadInput."""
    from farm.engine.training import read_facts
    from farm.engine.training.runs import find_checkpoint, read_run, step_of

    task = read_run(run).task
    if task != TASK:
        raise BadInput(
            str(run), f"this is a run of `farm {task}`; give one of `farm {TASK}` as a network"
        )
    checkpoint = find_checkpoint(run, step)
    lasting = f"{run}@{step_of(checkpoint)}"
    return _Tuned(checkpoint, read_facts(checkpoint), lasting, f"module/{MODULE}/")


def _build(name: str, classes: int, build: "Callable[[], nn.Module]") -> "nn.Module":
    """Return a network with this number of classes, without weights. name: for errors."""
    from farm_finetune.classifier import replace_classifiers

    network = build()
    replace_classifiers(network, name, classes)
    return network
