"""Sets of pictures: folders and zips, what is left out, and what is refused."""

import struct
from io import BytesIO
from pathlib import Path
from typing import Any
from zipfile import ZIP_BZIP2, ZIP_STORED

import numpy as np
import pytest
from PIL import ExifTags, Image

from farm.errors import BadInput, InputChanged
from farm.media import read_still
from farm.media.dataset import Options, open_pictures, prepare
from farm.model.specs import PictureSet
from farm.storage import FileDigests, KnownFiles

from .samples import fill, jpeg, levels, png, zipped

FLOWERS = {
    "train/rose/1.png": png(1),
    "train/rose/2.png": png(2),
    "train/daisy/1.png": png(3),
    "val/rose/1.png": png(4),
    "labels.csv": b"notes",
    "train/.hidden/1.png": png(5),
    "__MACOSX/train/._1.png": png(6),
    "train/rose/._1.png": b"fork",
}


def sources(folder: Path, contents: dict[str, bytes]) -> dict[str, str]:
    return {
        "folder": fill(folder / "folder", contents),
        "deflated": zipped(folder / "deflated.zip", contents),
        "stored": zipped(folder / "stored.ZIP", contents, ZIP_STORED),
        "wrapped": zipped(
            folder / "wrapped.zip", {f"flowers/{name}": c for name, c in contents.items()}
        ),
    }


@pytest.mark.parametrize("kind", ["folder", "deflated", "stored", "wrapped"])
def test_a_folder_and_a_zip_read_alike(tmp_path: Path, kind: str) -> None:
    source = sources(tmp_path, FLOWERS)[kind]
    train, val = open_pictures(source), open_pictures(source, "val")
    assert isinstance(train, PictureSet)
    assert train.names == ("train/daisy/1.png", "train/rose/1.png", "train/rose/2.png")
    assert (tuple(train.labels), train.categories) == ((0, 1, 1), ("daisy", "rose"))
    assert (val.names, tuple(val.labels)) == (("val/rose/1.png",), (1,))
    for number, seed in enumerate((3, 1, 2)):
        for _ in range(2):  # the second time takes the fast way
            assert np.array_equal(train.read(number), levels(seed))


def test_one_picture_is_enough(tmp_path: Path) -> None:
    pictures = open_pictures(fill(tmp_path / "one", {"cat/1.jpg": jpeg(0)}))
    assert (len(pictures), pictures.categories) == (1, ("cat",))
    assert len(open_pictures(str(tmp_path / "one"), "val")) == 0
    assert pictures.read(0).shape == (48, 64, 3)


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags


RGB = Image.fromarray(levels(7))
ODD = {
    "grey.png": encoded(RGB.convert("L")),
    "palette.gif": encoded(RGB.quantize(8), "GIF"),
    "cmyk.jpg": encoded(RGB.convert("CMYK"), "JPEG"),
    "deep.png": encoded(Image.fromarray(levels(7)[..., 0].astype(np.uint16) * 257)),
    "turned.jpg": encoded(RGB, "JPEG", exif=exif(6)),
    "tiff.tif": encoded(RGB, "TIFF"),
}


@pytest.mark.parametrize("name", ODD)
def test_pictures_look_as_any_still_does(tmp_path: Path, name: str) -> None:
    pictures = open_pictures(fill(tmp_path / "odd", {name: ODD[name]}))
    expected = read_still(str(tmp_path / "odd" / name)).pixels
    for _ in range(2):
        assert np.array_equal(pictures.read(0), (expected * 255).round().astype(np.uint8))
    assert pictures.read(0).shape == ((16, 12, 3) if name == "turned.jpg" else (12, 16, 3))


def test_transparent_pixels_appear_on_white(tmp_path: Path) -> None:
    rgba = np.zeros((2, 2, 4), np.uint8)
    rgba[0, 0, 3], rgba[0, 1, 3] = 255, 51
    pictures = open_pictures(fill(tmp_path / "clear", {"a.png": encoded(Image.fromarray(rgba))}))
    assert pictures.read(0)[..., 0].tolist() == [[0, 204], [255, 255]]


@pytest.mark.parametrize("kind", ["folder", "deflated"])
def test_a_damaged_picture_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    contents = {
        "cut.jpg": jpeg(1)[:-60],
        "empty.png": b"",
        "text.png": b"no picture",
        "z.png": png(2),
    }
    source = sources(tmp_path, contents)[kind]
    pictures = open_pictures(source)
    for number, reason in enumerate(("premature end", "the file is empty", "not a picture")):
        with pytest.raises(BadInput, match=rf"{pictures.names[number]}: .*{reason}"):
            pictures.read(number)
    assert np.array_equal(pictures.read(3), levels(2))


def test_a_damaged_member_of_a_zip_is_refused_by_name(tmp_path: Path) -> None:
    path = Path(zipped(tmp_path / "a.zip", {"a.png": png(1), "b.png": png(2)}, ZIP_STORED))
    content = bytearray(path.read_bytes())
    content[content.index(b"IDAT") + 10] ^= 1
    path.write_bytes(content)
    pictures = open_pictures(str(path))
    with pytest.raises(BadInput, match=r"a\.zip/a\.png: damaged picture: Bad CRC-32"):
        pictures.read(0)
    assert np.array_equal(pictures.read(1), levels(2))


def test_a_member_that_claims_to_be_huge_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = Path(zipped(tmp_path / "bomb.zip", {"a.png": b"0" * 1000}))
    content = bytearray(path.read_bytes())
    directory = content.index(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = struct.pack("<I", 2**31)
    path.write_bytes(content)
    with pytest.raises(BadInput, match=r"2,147,483,648 bytes; the limit for a picture is"):
        open_pictures(str(path)).read(0)


@pytest.mark.parametrize(
    "name", ["../a.png", "/etc/a.png", "C:/a.png", "a/../../b.png", "..\\a.png"]
)
def test_a_zip_with_members_outside_it_is_refused(tmp_path: Path, name: str) -> None:
    source = zipped(tmp_path / "odd.zip", {"good.png": png(1), name: png(2)})
    with pytest.raises(BadInput, match=r"is named like a file outside the zip; make the zip again"):
        open_pictures(source)


def test_a_zip_of_another_compression_is_refused(tmp_path: Path) -> None:
    source = zipped(tmp_path / "odd.zip", {"a.png": png(1)}, ZIP_BZIP2)
    with pytest.raises(BadInput, match=r"is compressed by method 12, not stored or deflated"):
        open_pictures(source)


def test_a_zip_that_names_a_picture_twice_is_refused(tmp_path: Path) -> None:
    source = zipped(tmp_path / "odd.zip", {"a/b.png": png(1), "a\\b.png": png(2)})
    with pytest.raises(BadInput, match=r"its member 'a/b.png' occurs twice"):
        open_pictures(source)


def test_what_is_no_set_of_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_text("a.png 0")
    (tmp_path / "broken.zip").write_bytes(b"PK nothing")
    fill(tmp_path / "empty", {"notes.txt": b"", ".a.png": png(1)})
    for name, reason in {
        "missing": "no such file or directory",
        "list.txt": "not a folder or a zip",
        "broken.zip": "not a zip, or damaged",
        "empty": "this folder contains no pictures",
    }.items():
        with pytest.raises(BadInput, match=reason):
            open_pictures(str(tmp_path / name))


def test_of_a_folder_that_has_only_a_zip_the_zip_is_named(tmp_path: Path) -> None:
    zipped(tmp_path / "cats.zip", {"a.png": png(1)})
    with pytest.raises(BadInput, match=rf"no pictures; give the zip in it, {tmp_path}/cats\.zip$"):
        open_pictures(str(tmp_path))


@pytest.mark.parametrize("kind", ["folder", "deflated"])
def test_a_picture_that_has_changed_since_the_job_was_submitted_ends_it(
    tmp_path: Path, kind: str
) -> None:
    contents = {"1.png": png(1), "2.png": png(2)}
    source = sources(tmp_path, contents)[kind]
    digest = FileDigests().sha256(source)
    pictures = open_pictures(source, files=KnownFiles({source: digest}))
    assert np.array_equal(pictures.read(0), levels(1))
    if kind == "folder":
        (tmp_path / "folder" / "1.png").write_bytes(png(9))
    else:
        zipped(tmp_path / "deflated.zip", {"1.png": png(9), "2.png": png(2)})
    with pytest.raises(InputChanged, match="has changed since the job was submitted"):
        pictures.read(0)


def test_a_picture_that_was_removed_ends_the_job(tmp_path: Path) -> None:
    source = fill(tmp_path / "set", {"1.png": png(1), "2.png": png(2)})
    pictures = open_pictures(source, files=KnownFiles({source: FileDigests().sha256(source)}))
    pictures.read(0)
    (tmp_path / "set" / "2.png").unlink()
    with pytest.raises(InputChanged, match="was removed"):
        pictures.read(1)


def test_the_digest_stands_for_contents_labels_and_part(tmp_path: Path) -> None:
    first = open_pictures(fill(tmp_path / "a", FLOWERS)).digest
    assert open_pictures(fill(tmp_path / "b", FLOWERS)).digest == first
    assert open_pictures(str(tmp_path / "a"), "val").digest != first
    (tmp_path / "b" / "train/rose/2.png").write_bytes(png(8))
    assert open_pictures(str(tmp_path / "b")).digest != first
    (tmp_path / "a" / "train/rose/2.png").rename(tmp_path / "a" / "train/daisy/2.png")
    assert open_pictures(str(tmp_path / "a")).digest != first


@pytest.mark.parametrize("kind", ["folder", "stored.zip"])
def test_pictures_at_a_url_are_those_on_a_disk(
    folder_storage: Any, tmp_path: Path, kind: str
) -> None:
    contents = {name: FLOWERS[name] for name in ("train/rose/1.png", "train/daisy/1.png")}
    if kind == "folder":
        here = fill(tmp_path / "folder", contents)
        for name, content in contents.items():
            folder_storage.put(f"folder/{name}", content)
    else:
        here = zipped(tmp_path / kind, contents, ZIP_STORED)
        folder_storage.put(kind, Path(here).read_bytes())
    there = f"{folder_storage.root}/{kind}"
    known = KnownFiles({there: FileDigests().sha256(there)})
    local, remote = open_pictures(here), open_pictures(there, files=known)
    assert (remote.names, remote.categories) == (local.names, local.categories)
    assert remote.digest == local.digest
    assert all(np.array_equal(remote.read(n), local.read(n)) for n in range(len(local)))


def test_pictures_at_a_url_that_have_changed_since_the_job_began_are_refused(
    folder_storage: Any,
) -> None:
    folder_storage.put("folder/1.png", png(1))
    there = f"{folder_storage.root}/folder"
    known = KnownFiles({there: FileDigests().sha256(there)})
    opened = open_pictures(there, files=known)
    folder_storage.put("folder/1.png", png(2))
    assert np.array_equal(opened.read(0), levels(1)), "a picture changed under a run"
    with pytest.raises(InputChanged, match="has changed"):
        open_pictures(there, files=known)


def test_what_cannot_be_read_is_collected_with_the_reason(tmp_path: Path) -> None:
    source, skipped = (
        fill(tmp_path / "set", {"1.png": png(1), "2.png": b"damaged"}),
        dict[str, str](),
    )
    pictures = open_pictures(source, skipped=skipped)
    assert skipped == {}, "nothing is read in advance"
    pictures.read(0)
    with pytest.raises(BadInput) as error:
        pictures.read(1)
    assert skipped == {f"{source}/2.png": error.value.reason}


def test_what_preparing_a_dataset_left_out_is_known_at_once(tmp_path: Path) -> None:
    source, skipped = (
        fill(tmp_path / "set", {"1.png": png(1), "2.png": b"damaged"}),
        dict[str, str](),
    )
    prepare([source], str(tmp_path / "prepared"), Options(), lambda *_: None)
    open_pictures(str(tmp_path / "prepared"), skipped=skipped)
    assert [*skipped] == ["set/2.png"]
