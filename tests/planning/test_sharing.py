"""All workers share runs, and single stills larger than a tile."""

from pathlib import Path

import pytest
from PIL import Image

from farm.host.registry import Registry
from farm.model.job import JobSpec, Plan
from farm.planning.sharing import is_shared_by_all_workers


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, side in (("small", 90), ("large", 200)):
        Image.new("RGB", (side, 40)).save(tmp_path / f"{name}.png")
    Image.new("RGB", (200, 40)).save(
        tmp_path / "moving.gif", save_all=True, append_images=[Image.new("RGB", (200, 40), "red")]
    )
    return tmp_path


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
        ("dream", "missing.png", "out.png", 100, False),
    ],
)
def test_a_run_or_a_single_large_still_is_shared_by_all_workers(
    folder: Path, task: str, inputs: str, output: str, tile: int, *, is_shared: bool
) -> None:
    path = inputs if inputs.startswith("blank:") else str(folder / inputs)
    spec = JobSpec(task=task, inputs=(path,), output=output, plan=Plan(tile=tile))
    assert is_shared_by_all_workers(Registry.load().task(task), spec) is is_shared
