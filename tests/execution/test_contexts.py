"""Contexts: the pictures that a run trains on are those of the job."""

from pathlib import Path

import pytest
from PIL import Image

from farm.errors import InputChanged
from farm.execution.contexts import ContextFactory
from farm.host.blame import describe
from farm.host.registry import Registry
from farm.model.job import Plan
from farm.storage import FileDigests


def test_a_set_of_pictures_is_compared_with_the_files_of_the_job(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    Image.new("RGB", (4, 3)).save(tmp_path / "set/a.png")
    source = str(tmp_path / "set")
    factory = ContextFactory(Registry(), "cpu")
    files = factory.known_files({source: FileDigests().sha256(source)})
    context = factory.make(Plan(), "run", lambda *_: None, lambda: False, files=files)
    pictures = context.pictures(source)
    assert pictures.read(0).shape == (3, 4, 3)
    assert len(context.pictures(source, "val")) == 0
    Image.new("RGB", (9, 9)).save(tmp_path / "set/a.png")
    with pytest.raises(InputChanged, match=r"a\.png has changed since the job was submitted"):
        pictures.read(0)


def test_an_error_while_a_file_is_read_names_the_file(tmp_path: Path) -> None:
    table = tmp_path / "table.txt"
    table.write_text("seven")
    context = ContextFactory(Registry(), "cpu").make(
        Plan(), "frame", lambda *_: None, lambda: False
    )
    with pytest.raises(ValueError, match="seven") as raised:
        context.load(str(table), lambda path: int(path.read_text()))
    assert describe(raised.value).endswith(f", while reading {table}")
