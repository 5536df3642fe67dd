"""Preparing a dataset: what is written, splits, lists, restarts, and what is refused."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from farm.errors import BadInput, BadOutput, StorageUnavailable, UserError
from farm.media.dataset import Options, open_pictures, prepare

from .samples import fill, jpeg, png, zipped

SMALL = Options(height=16, width=24)


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def flowers(count: int = 10) -> dict[str, bytes]:
    names = [f"{kind}/{number}.jpg" for kind in ("rose", "daisy") for number in range(count)]
    return {name: jpeg(seed) for seed, name in enumerate(names)}


@pytest.mark.slow
def test_a_folder_per_category_becomes_one_of_equal_pictures(tmp_path: Path) -> None:
    source = fill(tmp_path / "flowers", {"2/a.png": png(1), "10/b.jpg": jpeg(2), "10/a.gif": b"no"})
    manifest = prepare([source], str(tmp_path / "set"), SMALL)
    assert set(contents(tmp_path / "set")) == {"train/2/a.jpg", "train/10/b.jpg", "manifest.json"}
    with Image.open(tmp_path / "set/train/2/a.jpg") as image:
        assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (24, 16))
    assert manifest["categories"] == [
        {"number": 0, "name": "2", "train": 1, "val": 0},
        {"number": 1, "name": "10", "train": 1, "val": 0},
    ]
    assert [entry["source"] for entry in manifest["unreadable"]] == ["flowers/10/a.gif"]
    assert manifest == json.loads((tmp_path / "set/manifest.json").read_text())


@pytest.mark.slow
def test_the_reader_takes_the_dataset(tmp_path: Path) -> None:
    source = zipped(tmp_path / "flowers.zip", flowers())
    manifest = prepare([source], str(tmp_path / "set"), Options(16, 16, format="png", val=0.2))
    train, val = (open_pictures(str(tmp_path / "set"), part) for part in ("train", "val"))
    assert (len(train), len(val)) == (16, 4)
    assert train.categories == ("daisy", "rose")
    assert manifest["pictures"] == {"train": 16, "val": 4}
    assert [val.labels.count(number) for number in (0, 1)] == [2, 2]
    mean = np.mean([train.read(number) for number in range(16)], axis=(0, 1, 2))
    assert np.abs(mean - manifest["mean_rgb"]).max() < 0.01
    assert manifest["mean_bgr"] == manifest["mean_rgb"][::-1]


@pytest.mark.slow
def test_the_seed_decides_what_is_held_out(tmp_path: Path) -> None:
    source = fill(tmp_path / "flowers", flowers())

    def held(name: str, seed: int) -> set[str]:
        prepare([source], str(tmp_path / name), Options(8, 8, val=0.3, seed=seed))
        return {name for name in contents(tmp_path / name) if name.startswith("val/")}

    assert held("a", 1) == held("b", 1) != held("c", 2)


def test_a_category_of_one_picture_is_trained_on(tmp_path: Path) -> None:
    source = fill(tmp_path / "one", {"cat/a.png": png(1)})
    manifest = prepare([source], str(tmp_path / "set"), Options(8, 8, val=0.9))
    assert manifest["pictures"] == {"train": 1, "val": 0}


def test_a_source_keeps_its_own_parts(tmp_path: Path) -> None:
    parts = {"train/rose/a.png": png(1), "val/rose/a.png": png(2), "val/daisy/b.png": png(3)}
    source = fill(tmp_path / "parts", parts)
    prepare([source], str(tmp_path / "set"), SMALL)
    names = {"train/rose/a.jpg", "val/rose/a.jpg", "val/daisy/b.jpg", "manifest.json"}
    assert set(contents(tmp_path / "set")) == names
    with pytest.raises(UserError, match="hold out already; leave out --val"):
        prepare([source], str(tmp_path / "again"), Options(8, 8, val=0.5))


def test_lists_name_files_and_labels_with_the_last_space(tmp_path: Path) -> None:
    fill(tmp_path, {"some pictures/a b.png": png(1), "c.png": png(2), "d.png": png(3)})
    lines = "some pictures/a b.png 7\r\n\nc.png rose\ngone.png 7\n"
    (tmp_path / "train.txt").write_text(lines, encoding="utf-8-sig")
    (tmp_path / "val.txt").write_text("d.png 7\n")
    lists = [str(tmp_path / name) for name in ("train.txt", "val.txt")]
    manifest = prepare(lists, str(tmp_path / "set"), SMALL)
    names = {"train/7/a b.jpg", "train/rose/c.jpg", "val/7/d.jpg", "manifest.json"}
    assert set(contents(tmp_path / "set")) == names
    assert manifest["unreadable"] == [
        {"source": "train.txt, line 4", "reason": "no such file: gone.png"}
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.png", "line 1: no label; each line must be PATH LABEL"),
        ("a.png ../up", "line 1: '../up' cannot be the name of a folder"),
        ("a.png .hidden", "line 1: '.hidden' cannot be the name of a folder"),
        ("", "contains no pictures"),
    ],
)
def test_a_list_that_makes_no_sense_is_refused(tmp_path: Path, line: str, reason: str) -> None:
    (tmp_path / "list.txt").write_text(line)
    with pytest.raises(BadInput, match=reason):
        prepare([str(tmp_path / "list.txt")], str(tmp_path / "set"), SMALL)
    assert not (tmp_path / "set").exists()


def test_equal_names_stay_apart(tmp_path: Path) -> None:
    source = fill(tmp_path / "a", {"cat.png": png(1), "Cat.jpg": jpeg(2), "deep/cat.gif": png(3)})
    prepare([source, source], str(tmp_path / "set"), SMALL)
    names = [name for name in contents(tmp_path / "set") if name.startswith("train")]
    assert len({name.casefold() for name in names}) == 6


def test_pictures_that_look_the_same_are_reported(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, seed in {"a": 1, "c": 2}.items():
        noise = np.random.default_rng(seed).integers(0, 256, (12, 12, 3), np.uint8)
        image = Image.fromarray(noise).resize((128, 96), Image.Resampling.BICUBIC)
        image.save(tmp_path / f"in/{name}.png")
        if name == "a":
            image.resize((100, 90)).save(tmp_path / "in/b.jpg", quality=70)
    for level in (10, 200):  # equal hashes, but other colours
        Image.new("L", (32, 32), level).save(tmp_path / f"in/flat{level}.png")
    manifest = prepare([str(tmp_path / "in")], str(tmp_path / "out"), Options(64, 64))
    assert manifest["near_duplicates"] == [["train/a.jpg", "train/b.jpg"]]


@pytest.mark.parametrize(("fit", "corner"), [("squeeze", 255), ("crop", 255), ("pad", 0)])
def test_a_picture_is_squeezed_cut_or_padded(tmp_path: Path, fit: str, corner: int) -> None:
    image = np.full((20, 60, 3), 255, np.uint8)
    image[:, 20:40] = 100  # the middle third is grey
    Image.fromarray(image).save(tmp_path / "wide.png")
    source = fill(tmp_path / "in", {"wide.png": (tmp_path / "wide.png").read_bytes()})
    prepare([source], str(tmp_path / "set"), Options(30, 30, fit, "png"))
    picture = open_pictures(str(tmp_path / "set")).read(0)
    assert picture.shape == (30, 30, 3)
    assert picture[15, 15, 0] == 100
    if fit == "crop":
        assert np.abs(picture.astype(int) - 100).max() < 50
    else:
        assert picture[0, 0, 0] == corner


class Killed(BaseException):
    """Stands for the end of the process."""


def stop_after(count: int) -> Callable[[int, int], None]:
    def report(done: int, _count: int) -> None:
        if done >= count:
            raise Killed

    return report


@pytest.mark.slow
def test_a_stopped_preparation_goes_on_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.media.dataset.preparation._AT_ONCE", 8)  # so that some are left
    source = fill(tmp_path / "in", flowers() | {"rose/cut.jpg": jpeg(3)[:-90]})
    options = Options(16, 16, val=0.2)
    prepare([source], str(tmp_path / "straight"), options)
    stopped = tmp_path / "stopped"
    with pytest.raises(Killed):
        prepare([source], str(stopped), options, stop_after(7))
    with pytest.raises(BadInput, match="farm prepare has not finished it; run the same"):
        open_pictures(str(stopped))
    journal = stopped / ".farm-prepare.jsonl"
    journal.write_bytes(journal.read_bytes()[:-5])  # the last line was cut short
    (stopped / "train/daisy/.farm-0123.part").write_bytes(b"half a picture")
    kept = {path: path.stat().st_mtime_ns for path in stopped.rglob("*.jpg")}
    assert 0 < len(kept) < 20
    counts: list[int] = []
    prepare([source], str(stopped), options, lambda done, _: counts.append(done))
    assert counts[0] >= len(kept) - 1
    assert contents(stopped) == contents(tmp_path / "straight")
    redone = [path for path, time in kept.items() if path.stat().st_mtime_ns != time]
    assert len(redone) <= 1  # the one whose line was cut short


def test_a_finished_dataset_is_not_prepared_again(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", flowers(2))
    first = prepare([source], str(tmp_path / "set"), SMALL)
    (tmp_path / "set/train/rose/0.jpg").unlink()  # the owner did not want it
    assert prepare([source], str(tmp_path / "set"), SMALL) == first
    assert not (tmp_path / "set/train/rose/0.jpg").exists()


def test_other_pictures_or_options_are_refused(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", flowers(2))
    with pytest.raises(Killed):
        prepare([source], str(tmp_path / "half"), SMALL, stop_after(1))
    prepare([source], str(tmp_path / "whole"), SMALL)
    with pytest.raises(BadOutput, match="began with other pictures or options; delete it"):
        prepare([source], str(tmp_path / "half"), Options(8, 8))
    with pytest.raises(BadOutput, match="dataset of other pictures or options; delete it"):
        prepare([source], str(tmp_path / "whole"), Options(8, 8))
    fill(tmp_path / "in", {"rose/0.jpg": jpeg(50, 50, 50)})
    with pytest.raises(BadOutput, match="other pictures or options"):
        prepare([source], str(tmp_path / "half"), SMALL)


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", flowers(2))
    (tmp_path / "file").touch()
    fill(tmp_path / "other", {"notes.txt": b"mine"})
    for output, reason in {
        "other": "it contains other files; choose a new folder with -o",
        "file": "it is a file",
        "in/set": "it is in the source",
    }.items():
        with pytest.raises(BadOutput, match=reason):
            prepare([source], str(tmp_path / output), SMALL)
    assert set(contents(tmp_path / "in")) == set(flowers(2))


def test_only_one_process_writes_a_dataset(tmp_path: Path) -> None:
    source = fill(tmp_path / "in", flowers(2))

    def report(_done: int, _count: int) -> None:
        with pytest.raises(BadOutput, match="another farm prepare is writing it; wait until"):
            prepare([source], str(tmp_path / "set"), SMALL)

    prepare([source], str(tmp_path / "set"), SMALL, report)
    assert (tmp_path / "set/manifest.json").exists()


def test_sources_without_a_readable_picture_are_refused(tmp_path: Path) -> None:
    one = fill(tmp_path / "one", {"a.png": b"no"})
    two = fill(tmp_path / "two", {"a.png": b"no", "b.png": b"no"})
    with pytest.raises(BadInput, match=r"one/a\.png: not a picture.*format$"):
        prepare([one], str(tmp_path / "set"), SMALL)
    with pytest.raises(BadInput, match="nor can any of the other 1 pictures be read"):
        prepare([two], str(tmp_path / "set"), SMALL)
    prepare([fill(tmp_path / "good", {"a.png": png(1)})], str(tmp_path / "set"), SMALL)


def test_sources_with_and_without_categories_are_refused_together(tmp_path: Path) -> None:
    bare = fill(tmp_path / "bare", {"a.png": png(1)})
    sorted_ = fill(tmp_path / "sorted", {"cat/a.png": png(1)})
    with pytest.raises(BadInput, match=r"bare: has no categories, but .*sorted has"):
        prepare([bare, sorted_], str(tmp_path / "set"), SMALL)


def test_a_full_disk_leaves_a_preparation_that_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = fill(tmp_path / "in", flowers(2))
    sync = os.fsync

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageUnavailable, match="the disk is full"):
        prepare([source], str(tmp_path / "set"), SMALL)
    monkeypatch.setattr(os, "fsync", sync)
    prepare([source], str(tmp_path / "set"), SMALL)
    assert len(open_pictures(str(tmp_path / "set"))) == 4


def test_a_source_with_nothing_to_train_on_is_refused(tmp_path: Path) -> None:
    fill(tmp_path, {"a.png": png(1)})
    (tmp_path / "val.txt").write_text("a.png 0")
    with pytest.raises(BadInput, match=r"val\.txt: contains no pictures to train on"):
        prepare([str(tmp_path / "val.txt")], str(tmp_path / "set"), SMALL)


def test_a_dataset_at_a_url_is_the_one_on_a_disk(folder_storage: Any, tmp_path: Path) -> None:
    source = fill(tmp_path / "in", {f"{kind}/{n}.png": png(n) for kind in "ab" for n in range(2)})
    options = Options(8, 8, val=0.5)
    prepare([source], str(tmp_path / "out"), options)
    there = f"{folder_storage.root}/out"

    def stop(done: int, _count: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare([source], there, options, stop)
    assert "out/manifest.json" not in folder_storage.names()
    with pytest.raises(BadInput, match="farm prepare has not finished it"):
        open_pictures(there)
    with pytest.raises(BadOutput, match=f"{there}: its preparation began with other"):
        prepare([source], there, Options(4, 4))
    prepare([source], there, options)
    left = {
        f"out/{path.relative_to(tmp_path / 'out')}": path.read_bytes()
        for path in (tmp_path / "out").rglob("*")
        if path.is_file()
    }
    assert {name: folder_storage.get(name) for name in folder_storage.names()} == left
    assert prepare([source], there, options)["pictures"] == {"train": 2, "val": 2}


def test_a_dataset_in_a_source_at_a_url_is_refused(folder_storage: Any) -> None:
    folder_storage.put("in/a.png", png(1))
    with pytest.raises(BadOutput, match="it is in the source"):
        prepare([f"{folder_storage.root}/in"], f"{folder_storage.root}/in/out", Options(8, 8))
