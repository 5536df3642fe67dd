"""Which jobs are planned within moments."""

import pytest

from farm.model.job import JobSpec
from farm.planning.short_jobs import FEW, is_short


def spec(*inputs: str, **params: object) -> JobSpec:
    return JobSpec(task="copy", inputs=inputs, output="out/", params=params)


@pytest.mark.parametrize(
    "inputs", [["a.png"], ["/photos/a.JPG", "b.tif"], ["blank:64x64"], ["1.png"] * FEW]
)
def test_a_job_of_a_few_stills_is_short(inputs: list[str]) -> None:
    assert is_short(spec(*inputs, styles=["style.png"]))


@pytest.mark.parametrize(
    "given", ["b.mp4", "b.gif", "photos", "photos/", "*.png", "f_%03d.png", "mem://bucket/b.png"]
)
def test_a_job_with_a_film_or_many_pictures_or_a_remote_one_is_not_short(given: str) -> None:
    assert not is_short(spec("a.png", given))


def test_a_job_of_many_stills_is_not_short() -> None:
    assert not is_short(spec(*["1.png"] * (FEW + 1)))


@pytest.mark.parametrize(
    ("frames", "expected"), [("1", True), ("many", True), ("1-100000", False), ("2-", False)]
)
def test_a_job_that_makes_many_frames_of_a_still_is_not_short(frames: str, expected: bool) -> None:  # noqa: FBT001 - a parameter of the test
    assert is_short(spec("a.png").model_copy(update={"frames": frames})) is expected


def test_a_job_with_a_remote_parameter_is_not_short() -> None:
    assert not is_short(spec("a.png", styles=["mem://bucket/style.png"]))
