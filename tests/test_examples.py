"""The example plugins load, keep the contract and render what they describe."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from farm import Effect
from farm import Run as FarmRun
from farm.errors import BadParameter
from farm.host.registry import Registry
from farm.host.vetting import validate_params
from farm.media.dataset import open_pictures
from farm.model.specs import PictureSet
from farm.storage import KnownFiles
from farm.testing import FakeContext, check_effect

from .commands import run_farm

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "plugins" / "examples"
README = (ROOT / "README.md").read_text()
EFFECTS = ("grain", "invert")
Run = Callable[..., Path]


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.load(EXAMPLES)


@pytest.fixture
def pictures(tmp_path: Path) -> dict[str, np.ndarray]:
    """Three pictures in a folder: one with all 256 levels, and two of noise."""
    ramp = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, 2)
    noise = np.random.default_rng(5).integers(0, 256, (2, 19, 27, 3), dtype=np.uint8)
    drawn = {"one.png": ramp, "three.png": noise[1], "two.png": noise[0]}
    (tmp_path / "in").mkdir()
    for name, pixels in drawn.items():
        Image.fromarray(pixels).save(tmp_path / "in" / name)
    return drawn


@pytest.fixture
def run(tmp_path: Path, pictures: dict[str, np.ndarray]) -> Run:
    """Render the folder with an example: ``run("invert", "--amount", "0.5", into="out")``."""

    def render(task: str, *flags: str, into: str) -> Path:
        words = ("--plugins-dir", str(EXAMPLES), task, "in", "-o", into, "--threads", "1", *flags)
        run_farm(tmp_path, *words)
        return tmp_path / into

    return render


def read(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.iterdir())}


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_every_example_loads(registry: Registry) -> None:
    examples = {plugin.name: plugin for plugin in registry.plugins if ".py" in plugin.source}
    assert examples.keys() == {path.stem for path in EXAMPLES.glob("*.py")}
    assert [plugin.reason for plugin in examples.values() if plugin.state != "loaded"] == []


@pytest.mark.slow
@pytest.mark.parametrize("task", EFFECTS)
def test_an_example_effect_keeps_the_contract(task: str, registry: Registry) -> None:
    effect = registry.task(task)
    assert issubclass(effect, Effect)
    check_effect(effect)


def test_the_readme_shows_the_smallest_example() -> None:
    (shown,) = (
        block
        for block in re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
        if "class Invert" in block
    )
    assert shown == (EXAMPLES / "invert.py").read_text()
    assert sum(bool(line.strip()) for line in shown.splitlines()) < 15


def test_the_readme_shows_the_smallest_run() -> None:
    (shown,) = (
        block
        for block in re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
        if "class Denoise" in block
    )
    assert shown == (EXAMPLES / "denoise.py").read_text()
    run = shown.partition("class Denoise")[2].partition("\n\n\n")[0]
    assert sum(bool(line.strip()) for line in run.splitlines()) < 30


@pytest.fixture
def noisy_set(tmp_path: Path) -> PictureSet:
    """Five pictures of 40x48 pixels."""
    (tmp_path / "set").mkdir()
    drawn = np.random.default_rng(2).integers(0, 256, (5, 5, 6, 3), dtype=np.uint8)
    for number, pixels in enumerate(drawn):
        picture = Image.fromarray(pixels).resize((48, 40), Image.Resampling.BICUBIC)
        picture.save(tmp_path / "set" / f"{number}.png")
    return open_pictures(str(tmp_path / "set"), "train", KnownFiles())


def denoise(
    registry: Registry, folder: Path, pictures: PictureSet, steps: int
) -> dict[str, Tensor]:
    """Train in a folder; return the tensors of the result."""
    task = registry.task("denoise")
    run = task(validate_params(task, {"steps": steps}))
    assert isinstance(run, FarmRun)
    folder.mkdir(exist_ok=True)
    run.train(("set",), folder, FakeContext(seed=4, picture_sets={"set": pictures}))
    return load_file(folder / run.result)


def test_the_example_run_learns_and_resumes_to_the_last_bit(
    registry: Registry, noisy_set: PictureSet, tmp_path: Path
) -> None:
    straight = denoise(registry, tmp_path / "straight", noisy_set, 40)
    denoise(registry, tmp_path / "stopped", noisy_set, 17)
    resumed = denoise(registry, tmp_path / "stopped", noisy_set, 40)
    assert all(torch.equal(resumed[name], value) for name, value in straight.items())
    lines = (tmp_path / "straight" / "log.jsonl").read_text().splitlines()
    errors = [json.loads(line)["error"] for line in lines]
    assert sum(errors[-5:]) < 0.8 * sum(errors[:5])


def test_an_amount_out_of_range_is_refused(registry: Registry) -> None:
    with pytest.raises(BadParameter, match=r"amount: should be less than or equal to 1, not 1\.5"):
        validate_params(registry.task("invert"), {"amount": 1.5})


def test_grain_is_grey_has_the_requested_strength_and_depends_on_the_seed(
    registry: Registry,
) -> None:
    grain = registry.task("grain")
    assert issubclass(grain, Effect)
    effect = grain(validate_params(grain, {"amount": 0.2}))
    grey = torch.full((1, 3, 200, 200), 0.5)
    one, other = (effect.render(grey, FakeContext(seed=seed)) for seed in (1, 2))
    assert torch.equal(one[:, 0], one[:, 2])
    assert float((one - grey).std()) == pytest.approx(0.2, rel=0.02)
    assert float((one - other).std()) == pytest.approx(0.2 * 2**0.5, rel=0.02)


@pytest.mark.slow
def test_invert_renders_a_folder(run: Run, pictures: dict[str, np.ndarray]) -> None:
    quarter = read(run("invert", "--amount", "0.25", into="quarter"))
    half = read(run("invert", "--amount", "0.5", into="half"))
    assert quarter.keys() == half.keys() == pictures.keys()
    for name, pixels in pictures.items():
        assert np.array_equal(quarter[name], 64 + pixels // 2)
        assert set(np.unique(half[name])) <= {127, 128}


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.proof
def test_a_pool_renders_the_same_bytes(run: Run) -> None:
    local = bytes_of(run("invert", "--amount", "0.8", into="local"))
    assert bytes_of(run("invert", "--amount", "0.8", "--workers", "1", into="pool")) == local
