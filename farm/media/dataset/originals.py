"""Finds the pictures to prepare: in folders, zips and lists of files with labels."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from farm.errors import BadInput
from farm.media.bounds import decoding_errors
from farm.media.dataset.folder import file_content, file_stamp
from farm.media.dataset.layout import arrange, is_hidden
from farm.media.dataset.pictures import open_store
from farm.media.still_formats import MAX_PIXELS
from farm.model.specs import Part
from farm.storage import input_path, is_folder, local_folder, shown

__all__ = ["Original", "find_originals"]

_PARTS: Final[tuple[Part, ...]] = ("train", "val")


@dataclass(frozen=True)
class Original:
    """A picture to prepare.

    source: shows where it is, without the path of the source. category: "" without categories.
    is_divided: whether the source itself says to which part its pictures belong. stamp: differs
    once the picture has changed. content: returns the file's content; raises BadInput, OSError.
    """

    source: str
    part: Part
    category: str
    is_divided: bool
    stamp: tuple[int, int]
    content: Callable[[], bytes]


def find_originals(sources: Sequence[str]) -> list[Original]:
    """Return the pictures of several sources, in the order given.

    Raises BadInput for a source that cannot be read or contains no pictures, and if only some
    of the sources have categories.
    """
    found: list[Original] = []
    for source in sources:
        path = local_folder(source) if is_folder(source) else input_path(source)
        with decoding_errors(source, MAX_PIXELS):
            own = list(_listed(path) if path.suffix.lower() == ".txt" else _stored(path))
        if not own:
            raise BadInput(source, "contains no pictures")
        if found and bool(own[0].category) != bool(found[0].category):
            has, lacks = (sources[0], source) if found[0].category else (source, sources[0])
            raise BadInput(lacks, f"has no categories, but {has} has; prepare them separately")
        found += own
    return found


def _stored(path: Path) -> Iterator[Original]:
    """Yield the pictures of a folder or a zip."""
    store = open_store(path)
    layouts = {part: arrange(store.names, part) for part in _PARTS}
    for part, layout in layouts.items():
        for name, label in zip(layout.names, layout.labels, strict=True):
            yield Original(
                source=shown(f"{path.absolute().name}/{name}"),
                part=part,
                category=shown(layout.categories[label]) if layout.categories else "",
                is_divided=bool(layouts["val"].names),
                stamp=store.stamp(name),
                content=lambda name=name: store.content(name),  # type: ignore[misc]
            )


def _listed(path: Path) -> Iterator[Original]:
    """Yield the pictures that a list names, one "PATH LABEL" a line; the last space divides.

    Paths are relative to the list. A list whose name starts with "val" is of pictures to hold out.
    Source: Caffe's ImageData layer.
    """
    part: Part = "val" if path.name.lower().startswith("val") else "train"
    for number, line in enumerate(path.read_text("utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        name, _, label = line.strip().rpartition(" ")
        if not name:
            raise BadInput(str(path), f"line {number}: no label; each line must be PATH LABEL")
        if is_hidden(label) or "/" in label:
            raise BadInput(str(path), f"line {number}: {label!r} cannot be the name of a folder")
        yield _of_line(path, number, name.strip(), part, label)


def _of_line(path: Path, number: int, name: str, part: Part, label: str) -> Original:
    picture = path.parent / name

    def content() -> bytes:
        if not picture.is_file():
            raise BadInput(f"{path.name}, line {number}", f"no such file: {name}")
        return file_content(picture)

    return Original(
        source=name,
        part=part,
        category=label,
        is_divided=part == "val",
        stamp=file_stamp(picture) if picture.is_file() else (-1, -1),
        content=content,
    )
