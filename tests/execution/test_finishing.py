"""A finished film names the source it was joined with, so that a changed one is noticed."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from farm.errors import InputChanged
from farm.execution.finishing import Finisher
from farm.media import Frame
from farm.media.film import choose_format, encode_part
from farm.model.job import Plan
from farm.model.messages import Figures, Order
from farm.model.unit import Unit
from farm.model.work import Join
from farm.storage import sha256_file

FORM = choose_format("out.mkv", "ffv1", "draft", None, film=None, rate=Fraction(25))


@pytest.fixture
def part(tmp_path: Path) -> str:
    path = str(tmp_path / "part")
    frame = Frame(np.random.default_rng(0).random((32, 48, 3), np.float32))
    encode_part(path, FORM, [(time, 1, frame) for time in range(3)], {})
    return path


def join(part: str, source: str) -> tuple[Figures, Path]:
    """Join one part with the sound of a source, or without; return the figures and the film."""
    target = Path(part).with_name("out.mkv")
    unit = Unit("job", "clip/film", source, str(target), work=Join((part,), FORM))
    order = Order(unit, 1, "lease", "invert", {}, Plan())
    return Finisher().run(order, lambda *_: None, lambda: False), target


def test_a_join_reports_the_digests_of_its_source_and_of_the_film(part: str) -> None:
    figures, film = join(part, part)
    assert figures.source_sha256 == sha256_file(Path(part))
    assert figures.target_sha256 == sha256_file(film)


def test_a_join_without_a_source_reports_none(part: str) -> None:
    figures, film = join(part, "")
    assert figures.source_sha256 == ""
    assert figures.target_sha256 == sha256_file(film)


def test_a_film_that_changes_while_it_is_joined_is_not_reported_as_done(
    part: str, tmp_path: Path
) -> None:
    source = Path(shutil.copy(part, tmp_path / "source"))
    unit = Unit(
        "job", "clip/film", str(source), str(tmp_path / "out.mkv"), work=Join((part,), FORM)
    )
    files = {str(source): sha256_file(source)}
    order = Order(unit, 1, "lease", "invert", {}, Plan(), files=files)

    def replace_source(*_: object) -> None:
        shutil.copy(part, tmp_path / "other")
        with (tmp_path / "other").open("ab") as other:
            other.write(b"more")
        (tmp_path / "other").replace(source)

    with pytest.raises(InputChanged, match="source has changed"):
        Finisher().run(order, replace_source, lambda: False)
