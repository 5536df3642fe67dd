"""Listing inputs: what is found, in which order and under which names."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.errors import BadInput
from farm.planning.inputs import Source, list_inputs, natural_order, unique_names


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


def test_a_folder_gives_its_own_pictures_in_natural_order(folder: Path) -> None:
    assert names(folder) == ["Frame1", "frame2", "frame10"]


def test_a_source_has_an_absolute_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert list_inputs(["./frame2.png"]) == [Source("frame2", str(folder / "frame2.png"))]


def test_globs_are_expanded(folder: Path) -> None:
    assert names(folder / "frame*") == ["frame2", "frame10"]
    assert names(folder / "**" / "*3.png") == ["frame3"]
    assert names(folder / "*") == ["Frame1", "frame2", "frame10"]


def test_an_existing_file_with_brackets_is_not_a_glob(tmp_path: Path) -> None:
    make(tmp_path, "a[1].png", "a1.png")
    assert names(tmp_path / "a[1].png") == ["a[1]"]
    assert names(tmp_path / "a[[]1].png") == ["a[1]"]


def test_a_named_file_is_listed_whatever_its_suffix(tmp_path: Path) -> None:
    make(tmp_path, "picture.data", ".hidden.png")
    assert names(tmp_path / "picture.data", tmp_path / ".hidden.png") == [".hidden", "picture"]


def test_an_input_given_twice_is_listed_once(folder: Path) -> None:
    assert names(folder, folder / "frame*.png", folder / "frame2.png") == names(folder)
    assert names("blank:3x2", "blank:3x2") == ["blank_3x2"]


def test_blanks_are_named_after_their_size_and_colour() -> None:
    assert names("blank:30x20:#ff0000", "blank:30x20") == ["blank_30x20", "blank_30x20_ff0000"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("gone.png", "gone.png: no such file or folder; check the name"),
        ("s3:/b/gone.png", "no such file or folder; a URL has two slashes, as in s3://b/gone.png"),
        ("empty", r"empty: this folder contains no pictures or films \(entries: 1\)"),
        (
            "outer",
            r"films \(entries: 1\); 1 picture or film in subfolders was left out; to take all, ",
        ),
        ("*.jpg", r"\*.jpg: this glob matches no pictures or films \(entries: 0\)"),
        ("empty/*", r"this glob matches no pictures or films \(entries: 1\)"),
        ("x" * 300, "file name too long"),
        ("ftp://bucket/a.png", "ftp:// URLs are not supported; give a local path"),
        ("", "not a valid path; give a file or a folder"),
        ("blank:640", "write blank:WIDTHxHEIGHT or blank:WIDTHxHEIGHT:#rrggbb"),
        ("blank:0x5", "it has 0 pixels; give between 1 and 268435456"),
        ("blank:99999x99999", "it has 9999800001 pixels; give between"),
        ("blank:6x4:red", "write blank:WIDTHxHEIGHT"),
    ],
)
def test_an_input_that_cannot_be_listed_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, reason: str
) -> None:
    monkeypatch.chdir(tmp_path)
    make(tmp_path, "empty/notes.txt", "outer/inner/a.png", "good.png")
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
def test_names_are_lengthened_until_they_differ(
    tmp_path: Path, files: list[str], expected: list[str]
) -> None:
    make(tmp_path, *files)
    assert names(*(tmp_path / file for file in files)) == expected


def test_names_in_one_folder_may_differ_only_by_case(tmp_path: Path) -> None:
    make(tmp_path, "a.png", "A.png")
    if len(list(tmp_path.iterdir())) == 1:
        pytest.skip("this disk ignores case")
    assert names(tmp_path) == ["A", "a"]


PARTS = st.text("ab_", min_size=1, max_size=3)


@given(st.lists(st.tuples(PARTS, PARTS, st.sampled_from(["png", "jpg"])), min_size=1, unique=True))
def test_names_are_unique(files: list[tuple[str, str, str]]) -> None:
    paths = [f"/{folder}/{stem}.{suffix}" for folder, stem, suffix in files]
    try:
        unique = unique_names(paths)
    except BadInput as refusal:
        assert "rename one" in refusal.reason  # noqa: PT017 - a_b/c and a/b_c have the same longest name
    else:
        assert len(set(unique)) == len(paths)


def test_paths_with_the_same_longest_name_are_refused() -> None:
    # The shorter names clash with other paths, so only the longest names are left.
    paths = ["/a_b/c.png", "/a/b_c.png", "/x/c.png", "/x/b_c.png"]
    with pytest.raises(
        BadInput, match=r"/a_b/c.png: its .* name as that of /a/b_c.png; rename one"
    ):
        unique_names(paths)


def test_files_in_folders_of_their_digests_are_in_the_order_of_their_own_names(
    tmp_path: Path,
) -> None:
    given = {f"f_{number}.png": hashlib.sha256(bytes([number])).hexdigest() for number in range(12)}
    make(tmp_path, *(f"{digest}/{name}" for name, digest in given.items()))
    sources = list_inputs([f"{tmp_path}/{digest}/{name}" for name, digest in given.items()])
    assert [source.name for source in sources] == [f"f_{number}" for number in range(12)]


def test_natural_order_ignores_case_except_in_ties(tmp_path: Path) -> None:
    make(tmp_path, "b2.png", "B10.png", "a.png", "A/b2.png", "a/B2.png", "a/b2.png")
    if len(list((tmp_path / "a").iterdir())) == 1:
        pytest.skip("this disk ignores case")
    sources = list_inputs([str(tmp_path), str(tmp_path / "A"), str(tmp_path / "a")])
    listed = [source.url.removeprefix(f"{tmp_path}/") for source in sources]
    assert listed == ["a.png", "A/b2.png", "a/B2.png", "a/b2.png", "b2.png", "B10.png"]


@given(st.lists(st.integers(0, 10**12), unique=True))
def test_natural_order_compares_numbers_by_value(numbers: list[int]) -> None:
    names = [f"/in/frame{number}.png" for number in numbers]
    assert natural_order(names) == [f"/in/frame{number}.png" for number in sorted(numbers)]
