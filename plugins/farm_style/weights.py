"""Files of trained style networks: half-precision tensors and facts, as safetensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from farm import BadInput
from farm_style.generator import Generator

_HEADER: Final = "farm-style"


def write_generator(path: Path, generator: Generator, facts: Mapping[str, object]) -> None:
    """Write a trained style network to a file, whole or not at all."""
    from farm.engine.training import write_whole

    write_whole(path, to_bytes(generator, facts))


def to_bytes(generator: Generator, facts: Mapping[str, object]) -> bytes:
    """Return the bytes of the file. facts: how the network was trained, as JSON values."""
    header = {"width": generator.width, "blocks": generator.blocks, **facts}
    tensors = {name: value.half().contiguous() for name, value in generator.state_dict().items()}
    return save(tensors, {_HEADER: json.dumps(header, sort_keys=True)})


def read_generator(path: Path) -> Generator:
    """Return the trained style network in a file. Raises BadInput if there is none."""
    try:
        with safe_open(path, "pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        with torch.device("meta"):  # draws no random weights
            generator = Generator(int(header["width"]), int(header["blocks"]))
        generator.load_state_dict(tensors, assign=True)
    except (OSError, SafetensorError, KeyError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:120]
        raise BadInput(
            str(path), f"not a trained style network ({reason}); see `farm train-style`"
        ) from error
    return generator.to(torch.float32)
