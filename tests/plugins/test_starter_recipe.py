"""The starter network: the shipped file matches its description, and the recipe resumes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors import safe_open
from safetensors.torch import load_file
from torch import fx, nn

from farm_networks.recipe.data import augment, draw_views, sample_views
from farm_networks.recipe.train import main, rate_factor
from farm_networks.starter import SHA256, WEIGHTS
from farm_networks.starter.network import StarterGoogLeNet, fold

METADATA = {"name", "classes", "input", "accuracy", "recipe", "licence", "architecture"}


def load_shipped() -> StarterGoogLeNet:
    network = StarterGoogLeNet(folded=True)
    network.load_state_dict(load_file(WEIGHTS), strict=True)
    return network.eval()


def randomise_norms(network: nn.Module, generator: torch.Generator) -> None:
    """Give every batch norm random statistics and weights, so that folding it matters."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean):
                assert tensor is not None
                tensor.add_(0.2 * torch.randn(tensor.shape, generator=generator))
            assert module.running_var is not None
            module.running_var += torch.rand(module.running_var.shape, generator=generator)


def draw_dataset(folder: Path) -> Path:
    """Draw pictures of three classes, a disc, a box and a bar, in train and val."""
    boxes = {"bar": (20, 4, 28, 44), "box": (8, 8, 40, 40), "disc": (8, 8, 40, 40)}
    for split, count in (("train", 4), ("val", 2)):
        for name, box in boxes.items():
            (folder / split / name).mkdir(parents=True)
            for number in range(count):
                picture = Image.new("RGB", (56, 48), (40 * number, 90, 160))
                draw = ImageDraw.Draw(picture)
                shape = draw.ellipse if name == "disc" else draw.rectangle
                shape(box, fill=(230, 60 * number, 30))
                picture.save(folder / split / name / f"{number}.png")
    return folder


def test_the_shipped_file_is_small_and_matches_its_digest() -> None:
    """The wheel stays small, and the weights cannot change unnoticed."""
    content = WEIGHTS.read_bytes()
    assert len(content) <= 4_000_000
    assert hashlib.sha256(content).hexdigest() == SHA256


def test_the_shipped_file_has_metadata() -> None:
    with safe_open(WEIGHTS, "pt") as file:
        metadata = file.metadata()
    assert metadata.keys() >= METADATA
    assert len(json.loads(metadata["classes"])) == 200


@pytest.mark.parametrize(("height", "width"), [(32, 32), (65, 97)])
def test_the_shipped_network_accepts_any_size(height: int, width: int) -> None:
    picture = torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = load_shipped()(picture)
    assert logits.shape == (1, 200)
    assert logits.isfinite().all()


def test_the_network_can_be_traced() -> None:
    """torch.fx traces both forms of the network, with torchvision's names."""
    for folded in (False, True):
        graph = fx.symbolic_trace(StarterGoogLeNet(3, folded=folded)).graph
        targets = {str(node.target) for node in graph.nodes}
        assert {"inception3a.branch2.0.conv", "maxpool4", "fc"} <= targets


def test_folding_does_not_change_the_output() -> None:
    generator = torch.Generator().manual_seed(1)
    network = StarterGoogLeNet(5).eval()
    randomise_norms(network, generator)
    x = torch.randn(2, 3, 64, 48, generator=generator)
    with torch.inference_mode():
        torch.testing.assert_close(fold(network)(x), network(x), atol=1e-4, rtol=1e-4)


def test_views_of_a_plain_picture_are_plain() -> None:
    plain = torch.full((8, 3, 20, 20), 51, dtype=torch.uint8)
    views = draw_views(8, torch.Generator().manual_seed(2))
    torch.testing.assert_close(sample_views(plain, views, 24), torch.full((8, 3, 24, 24), 0.2))


def test_augmented_pictures_stay_in_range_and_differ() -> None:
    x = torch.rand(4, 3, 24, 24, generator=torch.Generator().manual_seed(3))
    generator = torch.Generator().manual_seed(4)
    first, second = augment(x, generator), augment(x, generator)
    assert first.min() >= 0
    assert first.max() <= 1
    assert not torch.equal(first, second)


def test_the_rate_warms_up_and_ends_at_0() -> None:
    assert rate_factor(0, 10) < 0.1
    assert rate_factor(1, 10) > 0.9
    assert rate_factor(10, 10) == pytest.approx(0)


@pytest.mark.slow
def test_the_recipe_writes_a_network_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command trains on a drawn data set; the same command with more epochs resumes."""
    data, output = draw_dataset(tmp_path / "data"), tmp_path / "drawn.safetensors"
    command = [str(data), "-o", str(output), "--side", "32", "--stored", "32", "--batch", "6"]

    main([*command, "--epochs", "1"])
    first = load_file(output)
    main([*command, "--epochs", "2"])
    second = load_file(output)

    StarterGoogLeNet(3, folded=True).load_state_dict(second, strict=True)
    assert not torch.equal(first["fc.weight"], second["fc.weight"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]
