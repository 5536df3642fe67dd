"""The engine with trained weights and real photographs, if they are available."""

import csv
import io
from pathlib import Path
from zipfile import ZipFile

import pytest
import torch
from torch import Tensor

from farm.engine import gradient as exact
from farm.engine import objectives
from farm.engine.networks import HEAD, Network, NetworkCache
from farm.host.registry import Registry
from farm.media import read_still
from farm.model.job import Precision
from farm_networks.recipe.data import decode, sample_whole

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "plugins" / "examples"
WEIGHTS = {
    "squeezenet1_0": "squeezenet1_0_torchvision_fp16.safetensors",
    "abm-googlenet": "googlenet_bn_variant_fp16.safetensors",
}


@pytest.fixture(scope="module")
def cache() -> NetworkCache:
    return NetworkCache(Registry.load(EXAMPLES).network, "cpu")


def trained(cache: NetworkCache, shared_data: Path, name: str, precision: Precision) -> Network:
    file = WEIGHTS.get(name)
    return cache.get(name, str(shared_data / "weights" / file) if file else None, precision)


def photograph(shared_data: Path, name: str, height: int, width: int) -> Tensor:
    pixels = torch.tensor(read_still(str(shared_data / "photos" / name)).pixels)
    return pixels.permute(2, 0, 1)[None, :, :height, :width].contiguous()


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("squeezenet1_0", ("features.5",)),
        ("squeezenet1_0", ("features.3", "features.7", "features.12")),
        ("abm-googlenet", ("c4",)),
        ("abm-googlenet", ("conv3", "b3", "a4")),
    ],
)
def test_tiles_give_the_whole_gradient_in_float32(
    cache: NetworkCache, shared_data: Path, name: str, layers: tuple[str, ...]
) -> None:
    extractor = trained(cache, shared_data, name, "float32").extractor(layers)
    image = photograph(shared_data, "tubingen.jpg", 331, 437)
    objective = objectives.Energy(dict.fromkeys(layers, 1.0))
    value, whole = exact.gradient(image, extractor, objective, 0)
    tiled_value, tiled = exact.gradient(image, extractor, objective, 160)
    assert float((tiled - whole).norm() / whole.norm()) < 1e-5
    assert tiled_value == pytest.approx(value, rel=1e-5)


def test_the_starters_tiles_give_the_whole_gradient_in_float64(
    cache: NetworkCache, shared_data: Path
) -> None:
    """In float32, rounding can flip a ReLU whose input is almost 0; in float64 none is that close."""
    layers = ("conv2", "inception3b", "inception4e")
    extractor = trained(cache, shared_data, "starter", "float64").extractor(layers)
    image = photograph(shared_data, "tubingen.jpg", 331, 437).double()
    objective = objectives.Energy(dict.fromkeys(layers, 1.0))
    _, whole = exact.gradient(image, extractor, objective, 0)
    _, tiled = exact.gradient(image, extractor, objective, 160)
    assert float((tiled - whole).norm() / whole.norm()) < 1e-12


@pytest.mark.parametrize("name", ["squeezenet1_0", "abm-googlenet"])
def test_bfloat16_is_close_to_float32(cache: NetworkCache, shared_data: Path, name: str) -> None:
    layer = "c4" if name == "abm-googlenet" else "features.7"
    image = photograph(shared_data, "flowers.jpg", 101, 117)
    results = []
    for precision in ("bfloat16", "float32"):
        extractor = trained(cache, shared_data, name, precision).extractor((layer,))
        results.append(exact.gradient(image, extractor, objectives.Energy({layer: 1.0}), 0))
    (rough_value, rough), (value, wanted) = results
    assert rough_value == pytest.approx(value, rel=0.05)
    assert rough.dtype == torch.float32
    assert torch.cosine_similarity(rough.flatten(), wanted.flatten(), dim=0) > 0.8


def test_the_starter_classifies_pictures_not_used_in_training(
    cache: NetworkCache, shared_data: Path
) -> None:
    """One picture of each class; chance is one in 200."""
    network = cache.get("starter", None, "float32")
    extractor = network.extractor((HEAD,))
    with ZipFile(shared_data / "tiny_imagenet" / "tiny_imagenet_200x150_val10.zip") as archive:
        table = csv.DictReader(io.StringIO(archive.read("classes.csv").decode()))
        names = {row["wnid"]: row["name"] for row in table}
        unseen = sorted(n for n in archive.namelist() if n.startswith("val/") and "." in n)[::10]
        pictures = torch.stack([decode(archive.read(name), 64) for name in unseen])
    with torch.no_grad():
        scores = [extractor(x)[HEAD].mean((2, 3)) for x in sample_whole(pictures, 96).split(1)]
    guesses = torch.cat(scores).argmax(1).tolist()
    right = [
        network.classes[guess] == names[name.split("/")[1]]
        for guess, name in zip(guesses, unseen, strict=True)
    ]
    assert len(right) == 200
    assert sum(right) > 40
