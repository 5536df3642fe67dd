"""Sizes as people write them."""

import pytest
from pydantic import ValidationError

from farm.model.job import JobSpec, Plan
from farm.model.picture_size import sized


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        (None, (600, 800)),
        ("640x360", (360, 640)),
        ("300p", (300, 400)),
        ("50%", (300, 400)),
        ("12.5%", (75, 100)),
        ("long=400", (300, 400)),
        ("0.01%", (1, 1)),
    ],
)
def test_a_size_of_a_picture_of_800x600(size: str | None, expected: tuple[int, int]) -> None:
    assert sized(size, 600, 800) == expected


@pytest.mark.parametrize("text", ["0x9", "big", "1080", "50", "-5%", "long=", "1e3p"])
def test_anything_else_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValidationError, match=r"is not a size; give 1280x720, 1080p"):
        Plan(size=text)


@pytest.mark.parametrize("text", ["long=99999999", "9999999p", "100001x1"])
def test_a_size_that_is_too_large_names_the_limit(text: str) -> None:
    with pytest.raises(ValidationError, match="is too large; a side has at most 100,000 pixels"):
        Plan(size=text)


def test_a_size_of_too_many_pixels_names_the_limit() -> None:
    with pytest.raises(ValidationError, match="90000x90000 has more than 268,435,456 pixels; give"):
        Plan(size="90000x90000")


def test_jobs_without_a_size_keep_their_key_and_a_size_changes_it() -> None:
    spec = JobSpec(task="dream", inputs=("a.png",), output="b.png")
    assert spec.key == "15ddb462799381ee5c73c026b28b638dc1112639aef9b0e948d9d604c4bc1f01"
    small = spec.model_copy(update={"plan": Plan(size="50%")})
    assert small.key != spec.key
