"""Inputs of another shape than a mask are refused when a job is planned, and so are sizes too large."""

import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image

from farm.errors import BadInput, BadParameter
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.job import JobSpec, Plan
from farm.model.work import Render
from farm.planning.submission import Planner, Submission

Make = Callable[..., str]
PlanJob = Callable[..., Submission]


@pytest.fixture
def plan(tmp_path: Path) -> PlanJob:
    """Plan a dream: ``plan(output, *inputs, size=..., frames=..., **params)``."""

    def planned(
        output: str,
        *inputs: str,
        task: str = "dream",
        size: str | None = None,
        frames: str | None = None,
        **params: object,
    ) -> Submission:
        spec = JobSpec(
            task=task,
            inputs=inputs,
            output=str(tmp_path / output),
            params=params,
            plan=Plan(size=size),
            frames=frames,
        )
        with closing(Ledger.open(f"sqlite:///{tmp_path}/ledger.db")) as ledger:
            return Planner(Registry.load(), ledger, lambda _: None).plan(spec, time.time())

    return planned


@pytest.fixture
def draw(tmp_path: Path) -> Make:
    """Draw a white picture: ``draw(name, width, height)``."""

    def drawn(name: str, width: int, height: int) -> str:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (width, height), "white").save(tmp_path / name)
        return str(tmp_path / name)

    return drawn


MISFIT = "mask.png: the mask is 64x64 but the picture is 96x64; crop the mask to the same aspect"


def test_a_mask_of_another_shape_than_the_picture_is_refused(plan: PlanJob, draw: Make) -> None:
    picture, mask = draw("photo.png", 96, 64), draw("mask.png", 64, 64)
    with pytest.raises(BadInput, match=MISFIT):
        plan("out.png", picture, mask=mask)


def test_the_second_mask_of_a_style_is_compared_as_well(plan: PlanJob, draw: Make) -> None:
    picture, mask = draw("photo.png", 96, 64), draw("mask.png", 64, 64)
    masks, styles = [draw("good.png", 48, 32), mask], [picture, picture]
    with pytest.raises(BadInput, match=MISFIT):
        plan("out.png", picture, task="style", styles=styles, masks=masks)


@pytest.mark.parametrize("output", ["out.mp4", "frames/%03d.png"])
def test_a_mask_of_another_shape_than_the_film_is_refused(
    output: str, plan: PlanJob, draw: Make, clip: Make
) -> None:
    with pytest.raises(BadInput, match=MISFIT):
        plan(output, clip("clip.mp4", times=range(3)), mask=draw("mask.png", 64, 64))


def test_a_mask_of_another_shape_than_a_zoom_is_refused(plan: PlanJob, draw: Make) -> None:
    picture, mask = draw("photo.png", 96, 64), draw("mask.png", 64, 64)
    with pytest.raises(BadInput, match=MISFIT):
        plan("out.mp4", picture, task="zoom", frames="3", mask=mask)


def test_in_a_folder_only_the_inputs_that_do_not_fit_the_mask_are_refused(
    plan: PlanJob, draw: Make, clip: Make
) -> None:
    wide, square = draw("a.png", 96, 64), draw("b.png", 64, 64)
    film = clip("c.mp4", times=range(3))
    planned = plan("out/", wide, square, film, mask=draw("mask.png", 960, 640))
    works = {one.unit.source: one.unit.work for one in planned.units}
    refused = {
        Path(source).name: work.refusal
        for source, work in works.items()
        if isinstance(work, Render) and work.refusal
    }
    assert list(refused) == ["b.png"]
    assert "the mask is 960x640 but the picture is 64x64" in refused["b.png"]


def test_a_mask_is_compared_with_the_size_that_was_asked_for(plan: PlanJob, draw: Make) -> None:
    picture, mask = draw("photo.png", 96, 64), draw("mask.png", 64, 64)
    assert len(plan("out.png", picture, size="32x32", mask=mask).units) == 1


def test_a_picture_that_cannot_be_read_is_left_to_rendering(
    plan: PlanJob, draw: Make, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    planned = plan("out.png", str(tmp_path / "broken.png"), mask=draw("mask.png", 64, 64))
    assert len(planned.units) == 1


@pytest.mark.parametrize("output", ["out.mp4", "frames/%03d.png"])
def test_a_film_is_refused_that_would_become_too_large(
    output: str, plan: PlanJob, clip: Make
) -> None:
    film = clip("clip.mp4", times=range(3), height=192, width=288)
    with pytest.raises(BadParameter, match="28512x19008 has more than 268,435,456 pixels"):
        plan(output, film, size="9900%")


@pytest.mark.parametrize("output", ["out.png", "out.jpg", "frames/%03d.png"])
def test_a_picture_is_refused_that_would_become_too_large(
    output: str, plan: PlanJob, draw: Make
) -> None:
    with pytest.raises(BadParameter, match="20000x20000 has more than 268,435,456 pixels"):
        plan(output, draw("photo.png", 64, 64), size="20000p")
