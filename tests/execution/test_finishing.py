"""Finishing cross-fades pictures, and notices a source that changes meanwhile."""

import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from farm.errors import InputChanged
from farm.execution.aim import Aim
from farm.execution.finishing import Finisher
from farm.media import Frame, read_record, read_still, write_working
from farm.media.film import choose_format, encode_part
from farm.model.job import Plan
from farm.model.messages import Figures, Order
from farm.model.unit import Unit
from farm.model.work import Blend, Join, Picture
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


def test_the_middle_of_a_cross_fade_changes_the_source_as_much_as_its_ends(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    source = np.full((48, 64, 3), 0.5, np.float32)
    changes = [0.1 * rng.normal(size=source.shape).astype(np.float32) for _ in range(2)]
    files = []
    for number, pixels in enumerate((source, source + changes[0], source + changes[1])):
        files.append(str(tmp_path / f"{number}.tif"))
        write_working(files[-1], Frame(pixels.clip(0, 1), depth=16), {})
    pair = (("first", files[1]), ("second", files[2]))
    work = Blend(Picture(pair, 0, 1, share=0.5, source=files[0]), depth=16)
    unit = Unit("job", "clip/000001/written", files[1], str(tmp_path / "out.png"), work=work)
    Finisher().run(Order(unit, 1, "lease", "invert", {}, Plan()), lambda *_: None, lambda: False)
    faded = read_still(unit.target).pixels
    assert np.abs(faded - source).mean() == pytest.approx(np.abs(changes).mean(), rel=0.05)


def test_a_finished_picture_does_not_record_what_the_frames_after_it_need(tmp_path: Path) -> None:
    source, target = str(tmp_path / "1.tif"), str(tmp_path / "out.png")
    aim = Aim((0.1,), 8).in_record()
    write_working(source, Frame(np.zeros((32, 48, 3), np.float32)), {"frame": 1} | aim)
    work = Blend(Picture((("first", source),), 0, 1), depth=8)
    unit = Unit("job", "clip/000001/written", source, target, work=work)
    Finisher().run(Order(unit, 1, "lease", "invert", {}, Plan()), lambda *_: None, lambda: False)
    assert read_record(target) == {"frame": 1}


def looped(tmp_path: Path, *missing: str) -> np.ndarray:
    """Return the picture halfway from one of noise to another. missing: units that failed."""
    rng, files = np.random.default_rng(2), list[str]()
    for number in range(2):
        files.append(str(tmp_path / f"{number}.tif"))
        pixels = (0.5 + 0.1 * rng.normal(size=(48, 64, 3))).astype(np.float32).clip(0, 1)
        write_working(files[-1], Frame(pixels, depth=16), {})
    work = Blend(Picture((("end", files[0]),), 0, 1, into=("start", files[1]), into_share=0.5), 16)
    unit = Unit("job", "clip/000001/written", files[1], str(tmp_path / "out.png"), work=work)
    order = Order(unit, 1, "lease", "invert", {}, Plan(), missing=missing)
    Finisher().run(order, lambda *_: None, lambda: False)
    return read_still(unit.target).pixels


def test_the_fade_of_a_loop_is_as_sharp_as_what_it_is_between(tmp_path: Path) -> None:
    faded = looped(tmp_path)
    one, other = (read_still(str(tmp_path / f"{number}.tif")).pixels for number in range(2))
    assert np.corrcoef(faded.ravel(), one.ravel())[0, 1] == pytest.approx(0.7, abs=0.05)
    assert np.corrcoef(faded.ravel(), other.ravel())[0, 1] == pytest.approx(0.7, abs=0.05)
    assert faded.std() == pytest.approx(one.std(), rel=0.05)


@pytest.mark.parametrize(("transparent", "covered"), [({0}, 0.75), ({1}, 0.25), ({0, 1}, 0)])
def test_the_fade_of_a_loop_between_a_transparent_and_an_opaque_picture(
    tmp_path: Path, transparent: set[int], covered: float
) -> None:
    files = []
    for number in range(2):
        files.append(str(tmp_path / f"{number}.tif"))
        alpha = np.zeros((48, 64), np.float32) if number in transparent else None
        write_working(files[-1], Frame(np.full((48, 64, 3), 0.5, np.float32), alpha, 16), {})
    picture = Picture((("end", files[0]),), 0, 1, into=("start", files[1]), into_share=0.75)
    unit = Unit(
        "job", "clip/1/written", files[1], str(tmp_path / "out.png"), work=Blend(picture, 16)
    )
    Finisher().run(Order(unit, 1, "lease", "invert", {}, Plan()), lambda *_: None, lambda: False)
    alpha = read_still(unit.target).alpha
    assert alpha is not None
    assert np.allclose(alpha, covered, atol=1e-4)


@pytest.mark.parametrize(("missing", "left"), [("end", 1), ("start", 0)])
def test_a_loop_shows_what_there_is_of_a_fade(tmp_path: Path, missing: str, left: int) -> None:
    faded = looped(tmp_path, missing)
    assert np.allclose(faded, read_still(str(tmp_path / f"{left}.tif")).pixels, atol=1e-4)


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
