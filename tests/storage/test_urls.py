"""Local locations are taken apart and put together as paths are, however they are written."""

from itertools import product
from pathlib import Path

import pytest

from farm import storage

PARTS = ("a", "b.c", ".hidden", ".", "..", "", "x y.tar.gz", "é", "a.", "..a", ".a.b", " ")
LOCATIONS = [
    f"{start}{'/'.join(parts)}{end}"
    for count in (1, 2, 3)
    for parts in product(PARTS, repeat=count)
    for start in ("", "/")
    for end in ("", "/")
]


def test_a_local_location_is_taken_apart_as_a_path_is() -> None:
    for location in LOCATIONS:
        path = Path(location)
        parts = storage.parent(location), storage.name(location), storage.suffix(location)
        assert parts == (str(path.parent), path.name, path.suffix), location


@pytest.mark.parametrize("name", ["q.png", "/absolute", "./z", "a/b", "", "..", "x/"])
def test_a_name_is_added_to_a_local_folder_as_to_a_path(name: str) -> None:
    for location in LOCATIONS:
        assert storage.join(location, name) == str(Path(location, name)), location
