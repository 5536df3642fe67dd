"""A finished file tells how to make it again, and others like it."""

import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from farm.media import read_record, read_still

from .conftest import Command

QUICK = ("--iterations", "1", "--octaves", "1", "--layer", "conv3", "--threads", "1")


@pytest.fixture
def photo(photo: str, tmp_path: Path) -> Path:
    with Image.open(tmp_path / photo) as picture:
        picture.resize((48, 32)).save(tmp_path / "guide.png")
    return tmp_path / photo


def shown(command: Command, file: str) -> dict[str, str]:
    done = command("show", file)
    return dict(line.split("\t") for line in done.results.splitlines())


def dream(command: Command, *words: object) -> None:
    done = command("dream", *words)
    assert done.code == 0, done.errors


def test_a_picture_does_not_depend_on_its_files_name(command: Command, photo: Path) -> None:
    photo.with_name("other.png").write_bytes(photo.read_bytes())
    for name in ("photo.png", "other.png"):
        dream(command, name, "-o", f"out-{name}", "--seed", 3, "--jitter", 9, *QUICK)
    one, other = (read_still(f"out-{name}").pixels for name in ("photo.png", "other.png"))
    assert np.array_equal(one, other)


def test_another_seed_gives_another_picture(command: Command, photo: Path) -> None:
    for seed in (3, 4):
        dream(command, photo.name, "-o", f"{seed}.png", "--seed", seed, "--jitter", 9, *QUICK)
    assert not np.array_equal(read_still("3.png").pixels, read_still("4.png").pixels)


def test_the_command_that_show_prints_makes_the_same_file(command: Command, photo: Path) -> None:
    dream(command, photo.name, "-o", "d.png", "--guide", "guide.png", "--seed", 3, *QUICK)
    facts = shown(command, "d.png")
    assert [name for name in facts if name.endswith("seed")] == ["plan.seed"]
    assert facts["written"].startswith("20")
    before = Path("d.png").read_bytes()
    Path("d.png").unlink()
    name, *words = shlex.split(facts["command"].removeprefix("farm "))
    assert command(name, *words).code == 0
    assert Path("d.png").read_bytes() == before


def test_like_takes_parameters_network_files_and_seed_and_flags_override_them(
    command: Command, photo: Path
) -> None:
    dream(command, photo.name, "-o", "d.png", "--guide", "guide.png", "--seed", 3, *QUICK)
    dream(command, photo.name, "-o", "same.png", "--like", "d.png", "--threads", "1")
    assert Path("same.png").read_bytes() == Path("d.png").read_bytes()
    dream(command, photo.name, "-o", "e.png", "--like", "d.png", "--seed", 5, "--step", 3)
    record, first = read_record("e.png"), read_record("d.png")
    assert record is not None
    assert first is not None
    assert record["plan"]["seed"] == 5
    assert record["params"] == first["params"] | {"step": 3.0}


def test_like_takes_the_size_unless_another_is_given(command: Command, photo: Path) -> None:
    dream(command, photo.name, "-o", "d.png", "--size", "50%", *QUICK)
    for words, size in (((), "50%"), (("--size", "20x10"), "20x10")):
        dream(command, photo.name, "-o", "e.png", "--like", "d.png", "--overwrite", *words)
        record = read_record("e.png")
        assert record is not None
        assert record["plan"]["size"] == size


def test_like_finds_files_beside_the_finished_one_and_refuses_changed_ones(
    command: Command, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dream(command, photo.name, "-o", "d.png", "--guide", "guide.png", *QUICK)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    dream(command, photo, "-o", "same.png", "--like", "../d.png", "--threads", "1")
    assert Path("same.png").read_bytes() == Path("../d.png").read_bytes()
    photo.with_name("guide.png").write_bytes(photo.read_bytes())
    done = command("dream", photo, "-o", "no.png", "--like", "../d.png")
    assert done.code == 2
    assert "--guide: guide.png of ../d.png is neither here nor beside it" in done.errors


def test_like_finds_files_that_are_only_valid_together(command: Command, photo: Path) -> None:
    quick = ("--iterations", "1", "--threads", "1")
    photo.with_name("mask.png").write_bytes(photo.read_bytes())
    words = ("--style", "guide.png=2", "--mask", "mask.png")
    assert command("style", photo.name, "-o", "s.png", *words, *quick).code == 0
    done = command("style", photo.name, "-o", "same.png", "--like", "s.png", "--threads", "1")
    assert done.code == 0, done.errors
    assert Path("same.png").read_bytes() == Path("s.png").read_bytes()


def test_like_wants_a_file_of_the_same_task(command: Command, photo: Path) -> None:
    dream(command, photo.name, "-o", "d.png", *QUICK)
    done = command("style", photo.name, "-o", "e.png", "--like", "d.png")
    assert done.code == 2
    assert done.errors == ("d.png was rendered by `farm dream`; use that command with --like\n")


def test_show_tells_the_depth_that_was_asked_for(command: Command, photo: Path) -> None:
    dream(command, photo.name, "-o", "d.png", "--depth", 16, *QUICK)
    assert "--depth=16" in shlex.split(shown(command, "d.png")["command"])


def test_show_prints_no_command_for_what_only_a_longer_job_writes(
    command: Command, photo: Path
) -> None:
    for number in (1, 2):
        photo.with_name(f"in{number}.png").write_bytes(photo.read_bytes())
    dream(command, "in%d.png", "-o", "f/%d.png", *QUICK)
    dream(command, "in%d.png", "-o", "c/%d.png", "--coherence", "flow", *QUICK)
    dream(command, "in%d.png", "-o", "film.mkv", *QUICK)
    for file in ("f/2.png", "c/1.png", "c/2.png", "film.mkv"):
        assert "command" not in shown(command, file), file
