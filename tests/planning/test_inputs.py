"""Listing inputs: what is found, in which order, under which names."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import BadInput
from farm.planning.inputs import Source, _unique_names, list_inputs, natural_key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make(tmp_path, "frame2.png", "frame10.png", "Frame1.JPG", "notes.txt", ".hidden.png")
    make(tmp_path, "inside/frame3.png")
    return tmp_path


def make(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def names(*inputs: Path | str) -> list[str]:
    return [source.name for source in list_inputs([str(given) for given in inputs])]


def test_a_folder_gives_its_own_pictures_counted_as_people_count(folder: Path) -> None:
    assert names(folder) == ["Frame1", "frame2", "frame10"]


def test_a_source_has_an_absolute_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert list_inputs(["./frame2.png"]) == [Source("frame2", str(folder / "frame2.png"))]


def test_globs_are_expanded(folder: Path) -> None:
    assert names(folder / "frame*") == ["frame2", "frame10"]
    assert names(folder / "**" / "*3.png") == ["frame3"]
    assert names(folder / "*") == ["Frame1", "frame2", "frame10"]


def test_a_name_with_brackets_is_a_name_first(tmp_path: Path) -> None:
    make(tmp_path, "a[1].png", "a1.png")
    assert names(tmp_path / "a[1].png") == ["a[1]"]
    assert names(tmp_path / "a[[]1].png") == ["a[1]"]


def test_what_is_named_is_taken_whatever_its_suffix(tmp_path: Path) -> None:
    make(tmp_path, "picture.data", ".hidden.png")
    assert names(tmp_path / "picture.data", tmp_path / ".hidden.png") == [".hidden", "picture"]


def test_what_is_given_twice_is_taken_once(folder: Path) -> None:
    assert names(folder, folder / "frame*.png", folder / "frame2.png") == names(folder)
    assert names("blank:3x2", "blank:3x2") == ["blank_3x2"]


def test_blanks_are_named_after_what_they_are() -> None:
    assert names("blank:30x20:#ff0000", "blank:30x20") == ["blank_30x20", "blank_30x20_ff0000"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("gone.png", "gone.png: no such file or folder"),
        ("empty", "empty: this folder has no picture or film among 1 names"),
        ("*.jpg", r"\*.jpg: this glob has no picture or film among 0 names"),
        ("empty/*", "this glob has no picture or film among 1 names"),
        ("x" * 300, "file name too long"),
        ("s3://bucket/a.png", "s3:// URLs are not supported; give a local path"),
        ("", "not a valid path; give a file or a folder"),
        ("blank:640", "write blank:WIDTHxHEIGHT or blank:WIDTHxHEIGHT:#rrggbb"),
        ("blank:0x5", "it has 0 pixels; give between 1 and 268435456"),
        ("blank:99999x99999", "it has 9999800001 pixels; give between"),
        ("blank:6x4:red", "write blank:WIDTHxHEIGHT"),
    ],
)
def test_what_is_not_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "empty/notes.txt", "good.png")
    with pytest.raises(BadInput, match=reason) as refusal:
        list_inputs(["good.png", given])
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (["a.jpg", "b.jpg"], ["a", "b"]),
        (["a.jpg", "a.png"], ["a.jpg", "a.png"]),
        (["x/a.jpg", "y/A.jpg"], ["x_a", "y_A"]),
        (["holiday/a.jpg", "work/a.jpg"], ["holiday_a", "work_a"]),
        (["x/y/a.jpg", "z/y/a.jpg"], ["x_y_a", "z_y_a"]),
        (["x/a.jpg", "x/a.png", "y/a.png"], ["a.jpg", "x_a", "y_a"]),
    ],
)
def test_names_grow_until_they_differ(
    tmp_path: Path, files: list[str], expected: list[str]
) -> None:
    make(tmp_path, *files)
    assert names(*(tmp_path / file for file in files)) == expected


def test_capitals_tell_files_of_one_folder_apart(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "A.png")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this disk does not tell capitals apart")
    assert names(tmp_path) == ["A", "a"]


PARTS = st.text("ab_", min_size=1, max_size=3)


@given(st.lists(st.tuples(PARTS, PARTS, st.sampled_from(["png", "jpg"])), min_size=1, unique=True))
def test_names_are_unique(files: list[tuple[str, str, str]]) -> None:
    paths = [f"/{folder}/{stem}.{suffix}" for folder, stem, suffix in files]
    try:
        found = _unique_names(paths)
    except BadInput as refusal:
        assert "rename one" in refusal.reason  # noqa: PT017 - a_b/c and a/b_c have no names left
    else:
        assert len(set(found)) == len(paths)


def test_paths_that_spell_the_same_name_are_refused() -> None:
    # Their shorter names clash with others too, so that only the whole paths are left.
    paths = ["/a_b/c.png", "/a/b_c.png", "/x/c.png", "/x/b_c.png"]
    with pytest.raises(BadInput, match=r"its name 'a_b_c.png' is another's too; rename one"):
        _unique_names(paths)


@given(st.lists(st.integers(0, 10**12), unique=True))
def test_natural_order_is_that_of_numbers(numbers: list[int]) -> None:
    ordered = sorted((f"Frame{number}.png" for number in numbers), key=natural_key)
    assert ordered == [f"Frame{number}.png" for number in sorted(numbers)]
