"""The paths of outputs, and outputs that are refused before any work."""

from collections.abc import Callable
from pathlib import Path

import pytest

from farm.errors import BadOutput
from farm.planning.inputs import Source, list_inputs
from farm.planning.outputs import Inputs, check_output, check_run_folder, target_for

CAT = Source("cat", "/in/cat.jpg")
RAW = Source("raw", "/in/raw.psd")
BLANK = Source("blank_4x3", "blank:4x3")


@pytest.mark.parametrize(
    ("source", "output", "many", "target"),
    [
        (CAT, "out.png", False, "out.png"),
        (CAT, "out", False, "out/cat.jpg"),
        (CAT, "out/", False, "out/cat.jpg"),
        (CAT, "out.png/", False, "out.png/cat.jpg"),
        (CAT, "results.v2", True, "results.v2/cat.jpg"),
        (RAW, "out", True, "out/raw.png"),
        (BLANK, "out", True, "out/blank_4x3.png"),
        (Source("cat.jpg", "/in/cat.jpg"), "out", True, "out/cat.jpg"),
        (Source("cat.psd", "/in/cat.psd"), "out", True, "out/cat.psd.png"),
        (Source("cat", "/in/cat.TIFF"), "out", True, "out/cat.TIFF"),
        (Source("v1.2", "/in/v1.2"), "out", True, "out/v1.2.png"),
    ],
)
def test_target_of_a_source(source: Source, output: str, many: bool, target: str) -> None:  # noqa: FBT001
    assert target_for(source, output, many) == target


def test_an_existing_folder_is_a_folder_whatever_its_suffix(tmp_path: Path) -> None:
    (tmp_path / "out.png").mkdir()
    assert target_for(CAT, str(tmp_path / "out.png"), many=False).endswith("out.png/cat.jpg")


def test_different_sources_have_different_targets(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png", "a.jpg.jpg", "a.psd", "a.psd.png", "b/a.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    sources = list_inputs([str(tmp_path), str(tmp_path / "b")])
    targets = {target_for(source, "out", many=True) for source in sources}
    assert len(targets) == len(sources) == 6


def test_several_inputs_need_a_folder(tmp_path: Path) -> None:
    for suffix in (".png", ".psd"):
        output = tmp_path / f"out{suffix}"
        message = f"cannot write {output}: several inputs need a folder; give {tmp_path}/out/"
        with pytest.raises(BadOutput, match=message):
            check_output(str(output), [CAT, RAW])
        with pytest.raises(BadOutput, match="several inputs need a folder"):
            target_for(CAT, str(output), many=True)


def test_an_unsupported_suffix_is_refused_naming_the_supported_ones(tmp_path: Path) -> None:
    with pytest.raises(
        BadOutput,
        match=r"unsupported suffix '\.psd'; use one of \.png, \.jpg, .*, or end a folder with /",
    ):
        check_output(str(tmp_path / "out.psd"), [CAT])


def test_an_output_does_not_replace_an_input(tmp_path: Path) -> None:
    picture = tmp_path / "cat.png"
    picture.touch()
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    sources = list_inputs([str(picture)])
    for output in (picture, tmp_path, tmp_path / "link", tmp_path / "link" / "cat.png"):
        with pytest.raises(BadOutput, match="this is also an input; choose another path"):
            check_output(str(output), sources)
    check_output(str(tmp_path / "dog.png"), sources)
    check_output(str(tmp_path / "new" / "folder"), sources)


def hard_link(folder: Path, original: Path) -> Path:
    (folder / "hard").mkdir()
    (folder / "hard" / original.name).hardlink_to(original)
    return folder / "hard" / original.name


def symlink(folder: Path, original: Path) -> Path:
    (folder / "soft").mkdir()
    (folder / "soft" / original.name).symlink_to(original)
    return folder / "soft" / original.name


def linked_folder(folder: Path, original: Path) -> Path:
    (folder / "folder").symlink_to(original.parent, target_is_directory=True)
    return folder / "folder" / original.name


@pytest.mark.parametrize("reach", [hard_link, symlink, linked_folder])
def test_an_output_does_not_replace_an_input_by_another_path(
    tmp_path: Path, reach: Callable[[Path, Path], Path]
) -> None:
    """A bind mount shows the same device and inode as a hard link; a test cannot make one."""
    original = tmp_path / "in" / "cat.png"
    original.parent.mkdir()
    original.touch()
    other = reach(tmp_path, original)
    message = "this is also an input; choose another path"
    for output in (other, other.parent):
        with pytest.raises(BadOutput, match=message):
            check_output(str(output), list_inputs([str(original)]))
        with pytest.raises(BadOutput, match=message):
            check_output(str(output), [Source("cat", "/in/cat.png")], [str(original)])
    with pytest.raises(BadOutput, match=message):
        check_output(str(original), [CAT], [str(other)])


def test_no_target_of_a_plan_replaces_an_input(tmp_path: Path) -> None:
    mask = tmp_path / "out" / "clip_00007.png"
    mask.parent.mkdir()
    mask.touch()
    (tmp_path / "mask.png").hardlink_to(mask)
    inputs = Inputs(["blank:4x3", str(tmp_path / "mask.png"), str(tmp_path / "gone.png")])
    inputs.check(str(tmp_path / "out" / f"clip_{n:05}.png") for n in range(7))
    with pytest.raises(BadOutput, match=r"clip_00007\.png: this is also an input"):
        inputs.check(str(tmp_path / "out" / f"clip_{n:05}.png") for n in range(9))


def test_nothing_is_written_into_a_folder_that_is_an_input(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (tmp_path / "link").symlink_to(photos, target_is_directory=True)
    inputs = Inputs([str(photos)])
    for target in ("photos/run/out.png", "link/out.png"):
        with pytest.raises(BadOutput, match="photos is an input; choose a path outside it"):
            inputs.check([str(tmp_path / target)])
    inputs.check([str(tmp_path / "photos.png"), str(tmp_path / "out" / "photos")])


def test_an_output_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for output in ("file", "file/", "file/out.png", "file/out"):
        with pytest.raises(BadOutput, match="file is a file, not a folder"):
            check_output(str(tmp_path / output), [CAT])
    with pytest.raises(BadOutput, match="ftp:// URLs are not supported"):
        check_output("ftp://bucket/out.png", [CAT])


@pytest.mark.parametrize("suffix", [".png", ".mp4", "_%d.png", "/", "/a.png"])
def test_a_name_that_is_too_long_is_refused(tmp_path: Path, suffix: str) -> None:
    """The bytes count, of which each of these letters has two."""
    check_output(f"{tmp_path}/{'é' * 120}{suffix}", [CAT])
    with pytest.raises(BadOutput, match="a name may have at most 255 bytes here; choose a shorter"):
        check_output(f"{tmp_path}/{'é' * 128}{suffix}", [CAT])


def test_checking_changes_nothing(tmp_path: Path) -> None:
    check_output(str(tmp_path / "new" / "out.png"), [CAT])
    check_output(str(tmp_path / "other"), [CAT, RAW, BLANK])
    assert list(tmp_path.iterdir()) == []


def test_a_run_starts_in_a_folder_that_holds_only_what_a_killed_farm_left(tmp_path: Path) -> None:
    folder = str(tmp_path)
    for name in (".farm-train-style-1-0a.claim", ".farm-0123456789abcdef.part"):
        (tmp_path / name).touch()
    check_run_folder(folder, is_resumed=False)
    (tmp_path / ".notes").touch()
    with pytest.raises(BadOutput, match=r"the folder is not empty; add --resume"):
        check_run_folder(folder, is_resumed=False)
    check_run_folder(folder, is_resumed=True)
