"""Files on local disks: outputs appear under their name complete, or not at all."""

from farm.storage.local import (
    NOT_UTF8,
    input_path,
    is_utf8,
    open_whole,
    output_path,
    remove_file,
    remove_folder,
    remove_leftovers,
    sha256_file,
)

__all__ = [
    "NOT_UTF8",
    "input_path",
    "is_utf8",
    "open_whole",
    "output_path",
    "remove_file",
    "remove_folder",
    "remove_leftovers",
    "sha256_file",
]
