"""Every file that the farm calls finished is on disk before it gets its name, and so is the name."""

import errno
import os
from collections.abc import Callable
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from farm.engine.training import TrainState, write_picture, write_whole
from farm.errors import StorageFailed
from farm.media import Frame
from farm.media.film import choose_format, encode_part, join_parts
from farm.media.still_writer import write_still, write_working
from farm.storage import open_whole
from farm_style.generator import Generator
from farm_style.weights import write_generator

Write = Callable[[Path], object]
Call = tuple[str, Path, int]
"""A system call, the path it was made for, and the bytes of that file at the time."""

FRAME = Frame(np.random.default_rng(0).random((32, 48, 3), np.float32))


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """Record every fsync and rename of this process, which take place as usual."""
    recorded: list[Call] = []
    fsync, replace = os.fsync, os.replace

    def recording_fsync(descriptor: int) -> None:
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        recorded.append(("fsync", path, path.stat().st_size if path.is_file() else 0))
        fsync(descriptor)

    def recording_replace(source: Any, target: Any, **folders: Any) -> None:
        recorded.append(("rename", Path(target), Path(source).stat().st_size))
        replace(source, target, **folders)

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    return recorded


def assert_durable(calls: list[Call], target: Path) -> None:
    """Assert that a whole file was on disk, then renamed, and then its folder on disk."""
    (sync, hidden, synced), (rename, renamed, size), (sync_folder, folder, _) = calls
    assert (sync, rename, sync_folder) == ("fsync", "rename", "fsync")
    assert (hidden.parent, renamed, folder) == (target.parent, target, target.parent)
    assert hidden != target
    assert synced == size == target.stat().st_size > 0


def some_bytes(path: Path) -> None:
    with open_whole(path) as file:
        file.write(b"some bytes")


def part(path: Path) -> None:
    form = choose_format("a.mkv", "ffv1", "draft", None, film=None, rate=Fraction(25))
    encode_part(str(path), form, [(time, 1, FRAME) for time in range(3)], {})


def checkpoint(path: Path) -> None:
    net = nn.Linear(2, 2)
    TrainState({"net": net}, {"net": torch.optim.Adam(net.parameters())}, seed=1).save(path)


WRITERS: dict[str, Write] = {
    "any.bin": some_bytes,
    "still.png": lambda path: write_still(str(path), FRAME, {}),
    "still.jpg": lambda path: write_still(str(path), FRAME, {}),
    "working.tif": lambda path: write_working(str(path), FRAME, {}),
    "part.nut": part,
    "step-00000001.safetensors": checkpoint,
    "step-00000001.png": partial(write_picture, picture=torch.rand(1, 3, 8, 8)),
    "log.jsonl": partial(write_whole, content=b"{}\n"),
    "style.safetensors": partial(write_generator, generator=Generator(4, 1), facts={}),
}


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs the names of open files")
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_is_on_disk_before_its_name_and_the_name_before_success(
    tmp_path: Path, calls: list[Call], name: str
) -> None:
    WRITERS[name](tmp_path / name)
    assert_durable(calls, tmp_path / name)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs the names of open files")
@pytest.mark.parametrize("name", ["film.mp4", "film.mkv", "film.gif"])
def test_a_joined_film_is_on_disk_before_its_name(
    tmp_path: Path, calls: list[Call], name: str
) -> None:
    form = choose_format(name, None, "draft", None, film=None, rate=Fraction(25))
    encode_part(str(tmp_path / "part"), form, [(time, 1, FRAME) for time in range(3)], {})
    calls.clear()
    join_parts(str(tmp_path / name), form, [str(tmp_path / "part")], None, None, {})
    assert_durable(calls, tmp_path / name)


def test_a_file_that_a_block_gave_up_is_not_renamed(tmp_path: Path, calls: list[Call]) -> None:
    def give_up() -> None:
        with open_whole(tmp_path / "a") as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        give_up()
    assert calls == []


def test_a_file_that_may_not_be_on_disk_never_gets_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing_fsync(_descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    (tmp_path / "a").write_bytes(b"old")
    monkeypatch.setattr(os, "fsync", failing_fsync)
    with pytest.raises(StorageFailed, match="input/output error"):
        some_bytes(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"
    assert len(list(tmp_path.iterdir())) == 1
