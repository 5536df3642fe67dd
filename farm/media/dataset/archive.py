"""The pictures of a zip, read in place: nothing is extracted to the disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final
from zipfile import ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from farm.errors import BadInput
from farm.media.dataset.layout import is_hidden, is_picture_name
from farm.media.dataset.picture_decoder import check_bytes

__all__ = ["Archive"]

_ENCRYPTED: Final = 0x1
"""The bit of a member's flags. Source: PKWARE's APPNOTE.TXT, section 4.4.4."""


class Archive:
    """A zip of pictures. If everything is in one folder of folders, names start inside it.

    Any number of threads may read from it at once. Raises BadInput if it is no zip, or has members
    that are encrypted, named twice, or named like a file outside the archive.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = ZipFile(path)
        except (BadZipFile, NotImplementedError, ValueError) as error:
            raise BadInput(str(path), f"not a zip, or damaged: {error}") from error
        self._members = _without_wrapper(self._pictures())

    @property
    def names(self) -> list[str]:
        """The names of the pictures, without hidden ones."""
        return list(self._members)

    def content(self, name: str) -> bytes:
        """Return the content of a picture.

        Raises BadInput if it is too large, OSError or BadZipFile if it cannot be read.
        """
        member = self._members[name]
        check_bytes(f"{self._path}/{name}", member.file_size)
        with self._zip.open(member) as file:
            return file.read()

    def stamp(self, name: str) -> tuple[int, int]:
        """Return two numbers that differ once the picture has changed: its size and its CRC."""
        member = self._members[name]
        return member.file_size, member.CRC

    def _pictures(self) -> dict[str, ZipInfo]:
        found: dict[str, ZipInfo] = {}
        for member in self._zip.infolist():
            name = member.filename.replace("\\", "/")
            words = name.split("/")
            if member.is_dir() or any(map(is_hidden, set(words) - {"..", "."})):
                continue
            if fault := _fault(member, words) or ("occurs twice" if name in found else ""):
                raise BadInput(str(self._path), f"its member {name!r} {fault}; make the zip again")
            if is_picture_name(name):
                found[name] = member
        return found


def _fault(member: ZipInfo, words: list[str]) -> str:
    if {"", ".", ".."} & {*words} or ":" in words[0]:
        return "is named like a file outside the zip"
    if member.flag_bits & _ENCRYPTED:
        return "is encrypted"
    if member.compress_type not in {ZIP_STORED, ZIP_DEFLATED}:
        return f"is compressed by method {member.compress_type}, not stored or deflated"
    return ""


def _without_wrapper(members: Mapping[str, ZipInfo]) -> dict[str, ZipInfo]:
    """Return the members by their names inside the one folder that contains only folders, if any."""
    paths = [name.split("/") for name in members]
    if not paths or len({words[0] for words in paths}) > 1 or paths[0][0] == "train":
        return dict(members)
    if any(len(words) < 3 for words in paths):
        return dict(members)
    return _without_wrapper({name.partition("/")[2]: member for name, member in members.items()})
