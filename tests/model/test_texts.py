"""Texts are found wherever they are in a value."""

from farm.model.texts import texts_in


def test_texts_are_found_at_any_depth_and_as_keys() -> None:
    value = {
        "styles": ["a.png", {"b.png": 0.5}],
        "mask": None,
        "pairs": (("c", "d"),),
        "set": {"e"},
    }
    found = "styles a.png b.png mask pairs c d set e"
    assert [*texts_in(value)] == found.split()
