"""The names of numbered pictures: what is a field for the number, and what is plain text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.media.sequence import NumberedPath, is_sequence


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("f_%d.png", "f_7.png"),
        ("f_%05d.png", "f_00007.png"),
        ("f_%5d.png", "f_00007.png"),
        ("f_%010d.png", "f_0000000007.png"),
        ("f.####.png", "f.0007.png"),
        ("100%/f_%05d.png", "100%/f_00007.png"),
        ("100%_%02d.png", "100%_07.png"),
        ("take_#1_%02d.png", "take_#1_07.png"),
        ("%d", "7"),
        ("seq_%03d/f_%d.png", "seq_%03d/f_7.png"),
    ],
)
def test_only_the_field_in_the_name_is_replaced(pattern: str, path: str) -> None:
    numbered = NumberedPath.parse(pattern)
    assert numbered
    assert numbered.path(7) == path
    assert numbered.number_of(path) == 7


@pytest.mark.parametrize(
    "name",
    [
        *("50%done.png", "50%.png", "100%/a.png", "f_%05d/a.png", "a#1.png", "%d_%d.png"),
        *("%s.png", "##_##.png", "f_%d.png/", "take##.mp4", "50%dösig.png", ""),
    ],
)
def test_any_other_name_is_a_plain_file(name: str) -> None:
    assert not is_sequence(name)


@given(st.integers(-(10**12), 10**12), st.integers(1, 12))
def test_a_number_is_read_back_as_it_was_written(number: int, places: int) -> None:
    pattern = NumberedPath.parse(f"in/f%0{places}d.png")
    assert pattern
    assert pattern.number_of(pattern.path(number)) == number


@pytest.mark.parametrize("name", ["f_12.png", "f_x.png", "f_0012.jpg", "f_٠٠١٢.png", "f_0012.png~"])
def test_a_name_that_does_not_fit_has_no_number(name: str) -> None:
    pattern = NumberedPath.parse("f_%04d.png")
    assert pattern
    assert pattern.number_of(name) is None
