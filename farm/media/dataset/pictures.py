"""Opens a set of pictures: a prepared dataset, a folder, a folder per category, or a zip."""

import hashlib
import json
from functools import cached_property
from pathlib import Path

import numpy as np

from farm.errors import BadInput
from farm.media.bounds import decoding_errors
from farm.media.dataset.archive import Archive
from farm.media.dataset.folder import Folder
from farm.media.dataset.layout import Layout, arrange
from farm.media.dataset.manifest import JOURNAL, MANIFEST, left_out
from farm.media.dataset.picture_decoder import Decoder
from farm.media.still_formats import MAX_PIXELS
from farm.model.specs import Part, PictureSet
from farm.storage import KnownFiles, input_path, is_remote

__all__ = ["open_pictures", "open_store"]


def open_pictures(
    source: str,
    part: Part = "train",
    files: KnownFiles | None = None,
    skipped: dict[str, str] | None = None,
) -> PictureSet:
    """Return the pictures of a part of a source, which are read and decoded one by one.

    source: path or URL of a prepared dataset; a folder, with pictures or a folder per category; either of these in
    train/, with or without a val/; or a zip of any of these. Hidden files are left out. Where there
    are no parts, every picture is part of "train" and "val" is empty.

    files: of the job; what is read is compared with them. skipped: receives, by name, why a picture
    cannot be read: at once for those that farm prepare left out, and for any other when it is read.

    Raises BadInput if there is no such source, it is neither a folder nor a zip, or there is
    nothing to train on; StorageFailed; InputChanged.
    """
    files = files or KnownFiles()
    path = files.copy_of(source) if is_remote(source) else input_path(source)
    with decoding_errors(source, MAX_PIXELS):
        store = open_store(path)
        layout = arrange(store.names, part)
    if part == "train" and not layout.names:
        kind = "folder" if path.is_dir() else "zip"
        raise BadInput(source, f"this {kind} contains no pictures{_advice(path)}")
    skipped = {} if skipped is None else skipped
    skipped.update(left_out(path))
    return _Pictures(source, path, part, layout, store, files, skipped)


def _advice(folder: Path) -> str:
    """Return what to give instead of a folder without pictures, if there is a zip in it."""
    zips = sorted(folder.glob("*.zip")) if folder.is_dir() else []
    return f"; give the zip in it, {zips[0]}" if zips else ""


def open_store(path: Path) -> Folder | Archive:
    """Return the pictures of a folder or a zip, by name.

    Raises BadInput for anything else, and for a dataset whose preparation has not ended; OSError.
    """
    if path.is_dir():
        if (path / JOURNAL).exists() and not (path / MANIFEST).exists():
            raise BadInput(
                str(path), "farm prepare has not finished it; run the same farm prepare again"
            )
        return Folder(path)
    if path.suffix.lower() != ".zip" and path.exists():
        raise BadInput(str(path), "not a folder or a zip; give one of these, with pictures in it")
    return Archive(path)


class _Pictures:
    """The pictures of one part; implements PictureSet. path: of the source on this machine."""

    def __init__(  # noqa: PLR0917 - what open_pictures found
        self,
        source: str,
        path: Path,
        part: Part,
        layout: Layout,
        store: Folder | Archive,
        files: KnownFiles,
        skipped: dict[str, str],
    ) -> None:
        self.names, self.labels, self.categories = layout.names, layout.labels, layout.categories
        self._local = str(path) if is_remote(source) else source.rstrip("/")
        self._source, self._part, self._store, self._files = source, part, store, files
        self._decoder, self._skipped = Decoder(), skipped

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def digest(self) -> str:
        content = self._files.digest(self._source)
        whole = (content, self._part, self.names, self.labels, self.categories)
        return hashlib.sha256(json.dumps(whole).encode()).hexdigest()

    def read(self, number: int) -> np.ndarray:
        try:
            return self._read(number)
        except BadInput as error:
            self._skipped[error.source] = error.reason
            raise

    def _read(self, number: int) -> np.ndarray:
        name = self.names[number]
        shown = f"{self._source.rstrip('/')}/{name}"
        with decoding_errors(shown, MAX_PIXELS):
            file = f"{self._local}/{name}" if isinstance(self._store, Folder) else self._local
            content, digest = self._files.read(file, lambda: self._store.content(name))
            return self._decoder.decode(shown, content, digest)
