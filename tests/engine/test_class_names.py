"""Everyday words find classes."""

import re
from pathlib import Path

import pytest

from farm.engine.class_names import everyday_words, find_classes
from farm.errors import suggestion
from farm.host.registry import Registry

README = Path(__file__).parents[2] / "README.md"

CLASSES = ("tabby, tabby cat", "Persian cat", "catamaran", "plate rack", "plate")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("1", [1]),
        ("5", []),
        ("TABBY", [0]),
        ("tabby cat", [0]),
        ("plate", [4]),
        ("cat", [0, 1]),
        ("cata", [2]),
        ("persian", [1]),
        ("rack", [3]),
        ("at", []),
        ("maran", [2]),
        (" ", []),
        ("c.t", []),
    ],
)
def test_a_name_a_number_or_a_word_finds_its_classes(name: str, found: list[int]) -> None:
    assert find_classes(name, CLASSES) == found


def test_a_misspelt_word_finds_the_word() -> None:
    assert suggestion("catz", everyday_words(CLASSES)).startswith("did you mean cat?")
    assert suggestion("perzian cat", everyday_words(CLASSES)).startswith("did you mean Persian cat")


def test_the_readme_names_classes_that_exist() -> None:
    classes = Registry.load().networks["starter"].classes()
    lines = [line for line in README.read_text().splitlines() if "--network" not in line]
    words = r"--class (\"[^\"]+\"|[a-z]+)|--at \d+=([a-z]+)"
    named = [name.strip('"') for line in lines for pair in re.findall(words, line) for name in pair]
    named = [name for name in named if name]
    assert len(named) >= 3
    assert [name for name in named if not find_classes(name, classes)] == []
