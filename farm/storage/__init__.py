"""Files on local disks: outputs appear under their name complete, or not at all."""

from farm.storage.claims import EVERYTHING, Claim, claim
from farm.storage.digests import FileDigests, KnownFiles, Look, look_at
from farm.storage.local import (
    NOT_UTF8,
    input_path,
    is_own,
    is_utf8,
    open_whole,
    output_path,
    remove_file,
    remove_folder,
    remove_leftovers,
    sha256_file,
    shown,
    write_error,
)

__all__ = [
    "EVERYTHING",
    "NOT_UTF8",
    "Claim",
    "FileDigests",
    "KnownFiles",
    "Look",
    "claim",
    "input_path",
    "is_own",
    "is_utf8",
    "look_at",
    "open_whole",
    "output_path",
    "remove_file",
    "remove_folder",
    "remove_leftovers",
    "sha256_file",
    "shown",
    "write_error",
]
