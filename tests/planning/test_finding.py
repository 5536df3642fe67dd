"""What an input stands for, and what is said about files that are left out."""

import os
import shlex
from pathlib import Path

import pytest

from farm.errors import BadInput
from farm.model.events import Notice
from farm.planning import finding
from farm.planning.inputs import Source, list_inputs


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def listed(*inputs: Path) -> tuple[list[Source], list[str]]:
    """Return the sources and the text of the notices."""
    notices: list[Notice] = []
    sources = list_inputs([str(given) for given in inputs], notices.append)
    return sources, [notice.note for notice in notices]


def test_a_folder_with_a_link_to_itself_is_searched_once(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "inside/b.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "inside" / "up").symlink_to(tmp_path)
    (tmp_path / "nothing").symlink_to("nothing")
    sources, _ = listed(tmp_path / "**" / "*.png")
    assert [source.url for source in sources] == [
        f"{tmp_path}/a.png",
        f"{tmp_path}/inside/b.png",
    ]
    assert [source.name for source in listed(tmp_path / "**")[0]] == ["a", "b"]


def test_a_folder_that_links_reach_again_is_listed_once(tmp_path: Path) -> None:
    make(tmp_path, "in/a.png", "elsewhere/b.png")
    for name in ("first", "second"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "elsewhere")
    assert [s.name for s in listed(tmp_path / "in" / "**" / "*.png")[0]] == ["a", "b"]
    (tmp_path / "same").symlink_to(tmp_path / "in")
    assert [s.url for s in listed(tmp_path / "in", tmp_path / "same")[0]] == [
        f"{tmp_path}/in/a.png"
    ]


def test_a_link_to_a_picture_is_a_picture_of_its_own(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    (tmp_path / "b.png").symlink_to(tmp_path / "a.png")
    assert [source.name for source in listed(tmp_path)[0]] == ["a", "b"]


def test_a_glob_of_folders_still_skips_hidden_ones(tmp_path: Path) -> None:
    make(tmp_path, "a.png", ".hidden/b.png", "x/y/c.png", "x/.z/d.png")
    assert [source.name for source in listed(tmp_path / "**" / "*.png")[0]] == ["a", "c"]
    assert [source.name for source in listed(tmp_path / "x" / "**" / "y" / "**")[0]] == ["c"]


def test_files_of_other_formats_are_counted(tmp_path: Path) -> None:
    make(tmp_path, "a.jpg", "b.jpg", "1.raw", "2.RAW", "3.raw", "notes.txt", "README", ".hidden")
    note = "5 files were left out: .raw (3), .txt (1), no suffix (1)"
    for given in (tmp_path, tmp_path / "*"):
        sources, notes = listed(given)
        assert len(sources) == 2
        assert notes[0].startswith("5 files were left out: .raw (3), ")
        assert sorted(notes[0][24:].split(", ")) == sorted(note[24:].split(", "))
    (tmp_path / "c").mkdir()
    make(tmp_path, "c/a.png", "c/b.txt")
    assert listed(tmp_path / "c")[1] == ["1 file was left out: .txt (1)"]


def test_pictures_in_subfolders_are_counted_and_taken_by_the_glob_that_is_named(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "my [best] photos"
    make(folder, "a.png", "b/c.jpg", "b/notes.txt", "d/e/f.mp4", ".hidden/g.png", "b/.h.png")
    (folder / "d" / "up").symlink_to(folder)
    sources, (note,) = listed(folder)
    assert [source.name for source in sources] == ["a"]
    said, _, given = note.partition("; to take all, give ")
    assert said == "2 pictures or films in subfolders were left out"
    (pattern,) = shlex.split(given)
    assert [source.name for source in listed(Path(pattern))[0]] == ["a", "c", "f"]


def test_no_more_than_so_many_files_in_subfolders_are_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finding, "_COUNTED", 3)
    make(tmp_path, "a.png", *(f"b/{number}.png" for number in range(5)))
    assert listed(tmp_path)[1][0].startswith("at least 3 pictures or films in subfolders were")


def test_nothing_is_said_if_nothing_is_left_out(tmp_path: Path) -> None:
    make(tmp_path, "f_1.png", "f_2.png", "f_3.png")
    assert listed(tmp_path)[1] == listed(tmp_path / "f_%d.png")[1] == []


@pytest.mark.parametrize("pattern", ["f_%04d.png", "f_%4d.png", "f_####.png"])
def test_a_sequence_keeps_its_numbers(tmp_path: Path, pattern: str) -> None:
    make(tmp_path, "f_0101.png", "f_0099.png", "f_0100.png", "f_1.png", "g_0102.png")
    sources, notes = listed(tmp_path / pattern)
    assert [source.number for source in sources] == [99, 100, 101]
    assert notes == []


def test_a_sequence_is_in_the_order_of_its_numbers_below_0_too(tmp_path: Path) -> None:
    make(tmp_path, *(f"f_{number:04d}.png" for number in (-11, -2, -1, 0, 1, 10)))
    sources, _ = listed(tmp_path / "f_%04d.png")
    assert [source.number for source in sources] == [-11, -2, -1, 0, 1, 10]
    assert sources[0].url == f"{tmp_path}/f_-011.png"


def test_gaps_are_said(tmp_path: Path) -> None:
    make(tmp_path, *(f"f_{number}.png" for number in (-1, 1, 2, 5, 6)))
    note = "3 numbers are missing between -1 and 6: 0, 3 to 4"
    assert listed(tmp_path / "f_%d.png")[1] == [note]


def test_of_two_files_with_one_number_the_one_as_the_pattern_writes_it_is_used(
    tmp_path: Path,
) -> None:
    make(tmp_path, "f_01.png", "f_1.png", "f_001.png", "f_2.png")
    sources, (note,) = listed(tmp_path / "f_%d.png")
    assert [source.name for source in sources] == ["f_1", "f_2"]
    assert note == (
        "2 files were left out: f_001.png (its number is that of f_1.png), "
        "f_01.png (its number is that of f_1.png)"
    )
    assert [source.name for source in listed(tmp_path / "f_%02d.png")[0]] == ["f_01"]


def test_names_that_are_not_utf8_are_left_out_and_said(tmp_path: Path) -> None:
    make(tmp_path, "a.png")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")).touch()
    except OSError:
        pytest.skip("this disk stores only UTF-8 names")
    sources, notes = listed(tmp_path)
    assert [source.name for source in sources] == ["a"]
    left_out = r"1 file was left out: caf\xe9.png; rename it, because a name must be UTF-8"
    assert notes == [left_out]
    (tmp_path / "a.png").unlink()
    for given in (tmp_path, Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png"))):
        with pytest.raises(BadInput, match="must be UTF-8") as refusal:
            listed(given)
        str(refusal.value).encode()


def test_a_transport_stream_is_a_film_and_a_program_is_not(tmp_path: Path) -> None:
    make(tmp_path, "b.MTS", "c.m2ts")
    (tmp_path / "a.ts").write_bytes(b"G@\0\x10")
    (tmp_path / "main.ts").write_text("import { a } from './a'")
    sources, notes = listed(tmp_path)
    assert [source.name for source in sources] == ["a", "b", "c"]
    assert notes == ["1 file was left out: .ts (1)"]
