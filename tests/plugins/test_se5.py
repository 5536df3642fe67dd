"""The example plugin of a compressed VGG works with style transfer, and its tiles are exact."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from farm.engine import gradient, objectives
from farm.engine.networks import NetworkCache
from farm.host.registry import Registry

EXAMPLES = Path(__file__).parents[2] / "plugins" / "examples"
SIDE = 112


def pixels(path: Path) -> np.ndarray:
    """Return a picture in 0..1, at most SIDE pixels per side."""
    with Image.open(path) as file:
        small = file.convert("RGB")
    small.thumbnail((SIDE, SIDE))
    return np.asarray(small, dtype=np.float64) / 255


@pytest.mark.slow
def test_the_style_command_works_with_it(shared_data: Path, tmp_path: Path) -> None:
    photo, painting = shared_data / "photos" / "astronaut.png", "starry_night.jpg"
    small = tmp_path / "photo.png"
    Image.fromarray((pixels(photo) * 255).round().astype(np.uint8)).save(small)
    words = ["--plugins-dir", EXAMPLES, "style", small, "-o", tmp_path / "out.png"]
    words += ["--style", shared_data / "paintings" / painting, "--network", "se5"]
    words += ["--weights", shared_data / "weights" / "se5_fp32.safetensors"]
    words += ["--iterations", "40", "--scales", "2", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "farm", *map(str, words)],
        env=os.environ | {"FARM_LEDGER": str(tmp_path / "ledger.db")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, after = pixels(small), pixels(tmp_path / "out.png")
    style = pixels(shared_data / "paintings" / painting).mean((0, 1))
    distances = [float(np.linalg.norm(x.mean((0, 1)) - style)) for x in (after, before)]
    assert distances[0] < 0.8 * distances[1], "the colours are not the style's"
    correlation = np.corrcoef(after.mean(2).ravel(), before.mean(2).ravel())[0, 1]
    assert correlation > 0.6, "the picture is no longer recognisable"
    assert float(np.abs(after - before).mean()) > 0.03, "the picture did not change"


@pytest.mark.slow
def test_its_tiles_are_exact(shared_data: Path) -> None:
    torch.set_num_threads(1)
    cache = NetworkCache(Registry.load(EXAMPLES).network, "cpu")
    weights = shared_data / "weights" / "se5_fp32.safetensors"
    extractor = cache.get("se5", str(weights), "float64").extractor(("relu5_1",))
    image = torch.rand(1, 3, 230, 257, generator=torch.Generator().manual_seed(3)).double()
    objective = objectives.Energy({"relu5_1": 1.0})
    whole, tiled = (gradient.gradient(image, extractor, objective, tile)[1] for tile in (0, 64))
    assert float((whole - tiled).norm() / whole.norm()) < 1e-10
