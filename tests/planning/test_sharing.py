"""Workers share runs, and single stills larger than a tile, if the job asks for several."""

from pathlib import Path

import pytest
from PIL import Image

from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.job import JobSpec, Plan
from farm.model.unit import ALL_WORKERS
from farm.planning.submission import Planner

from ..workbench import ledger, ledger_url  # noqa: TID252 - shared between rooms

__all__ = ["ledger", "ledger_url"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, side in (("small", 90), ("large", 200)):
        Image.new("RGB", (side, 40)).save(tmp_path / f"{name}.png")
    Image.new("RGB", (200, 40)).save(
        tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", (200, 40), "red")]
    )
    return tmp_path


@pytest.mark.parametrize("workers", [1, 3, ALL_WORKERS])
@pytest.mark.parametrize(
    ("task", "inputs", "output", "tile", "is_shared"),
    [
        ("dream", "large.png", "out.png", 100, True),
        ("dream", "blank:200x40", "out.png", 100, True),
        ("train-style", "small.png", "run", 0, True),
        ("dream", "small.png", "out.png", 100, False),
        ("dream", "large.png", "out.png", 0, False),
        ("dream", "moving.gif", "out.mp4", 100, False),
        ("dream", "large.png", "out.mp4", 100, False),
        ("zoom", "large.png", "out.mp4", 100, False),
        ("dream", "*.png", "out/", 100, False),
        ("dream", "damaged/a.png", "out.png", 100, False),
    ],
)
def test_a_run_or_a_single_large_still_is_for_as_many_workers_as_the_job_says(
    ledger: Ledger,
    folder: Path,
    task: str,
    inputs: str,
    output: str,
    tile: int,
    workers: int,
    *,
    is_shared: bool,
) -> None:
    (folder / "damaged").mkdir()
    (folder / "damaged" / "a.png").write_bytes(b"no picture")
    path = inputs if inputs.startswith("blank:") else str(folder / inputs)
    spec = JobSpec(
        task=task,
        params={"photos": path} if task == "train-style" else {},
        inputs=(path,),
        output=str(folder / output),
        frames="4" if task == "zoom" else None,
        plan=Plan(tile=tile),
        workers=workers,
    )
    units = Planner(Registry.load(), ledger, lambda _: None).plan(spec, 1.0).units
    assert {restored.unit.workers for restored in units} == {workers if is_shared else 1}
