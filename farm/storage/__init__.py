"""The one door to all files, local and remote: each is complete under its name, or not there."""

from farm.storage.claims import EVERYTHING, Claim, claim
from farm.storage.copies import local_copies
from farm.storage.digests import FileDigests, KnownFiles, Look, look_at
from farm.storage.disk_trouble import read_trouble
from farm.storage.door import (
    check_output,
    entries,
    exists,
    fenced,
    files_below,
    input_path,
    is_file,
    is_folder,
    local_folder,
    make_folder,
    open_whole,
    remove_file,
    remove_files,
    remove_folder,
    remove_leftovers,
    size_of,
)
from farm.storage.globs import glob
from farm.storage.local import NOT_UTF8, UNREACHABLE, output_path, sha256_file, write_error
from farm.storage.measuring import take_transfers
from farm.storage.mirror import Mirror
from farm.storage.outages import answers_otherwise
from farm.storage.scheme import ABSENT, Entry, Scheme, SchemeFactory, Stat
from farm.storage.schemes import BUILT_IN, add_schemes, known_schemes, scheme_of
from farm.storage.scratch import scratch_folder
from farm.storage.urls import (
    absolute,
    is_own,
    is_remote,
    is_utf8,
    join,
    name,
    parent,
    parents,
    shown,
    suffix,
)

__all__ = [
    "ABSENT",
    "BUILT_IN",
    "EVERYTHING",
    "NOT_UTF8",
    "UNREACHABLE",
    "Claim",
    "Entry",
    "FileDigests",
    "KnownFiles",
    "Look",
    "Mirror",
    "Scheme",
    "SchemeFactory",
    "Stat",
    "absolute",
    "add_schemes",
    "answers_otherwise",
    "check_output",
    "claim",
    "entries",
    "exists",
    "fenced",
    "files_below",
    "glob",
    "input_path",
    "is_file",
    "is_folder",
    "is_own",
    "is_remote",
    "is_utf8",
    "join",
    "known_schemes",
    "local_copies",
    "local_folder",
    "look_at",
    "make_folder",
    "name",
    "open_whole",
    "output_path",
    "parent",
    "parents",
    "read_trouble",
    "remove_file",
    "remove_files",
    "remove_folder",
    "remove_leftovers",
    "scheme_of",
    "scratch_folder",
    "sha256_file",
    "shown",
    "size_of",
    "suffix",
    "take_transfers",
    "write_error",
]
