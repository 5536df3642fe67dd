"""The starter network: the shipped file matches its description, and the recipe resumes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import fx, nn

from farm_networks.recipe.balance import balance
from farm_networks.recipe.data import (
    UNLABELLED,
    Split,
    augment,
    draw_plain,
    draw_views,
    load_photographs,
    normalise,
    sample_views,
    sample_whole,
)
from farm_networks.recipe.student import measure_norms
from farm_networks.recipe.teacher import FeatureExtractor, StoredOutputs, Teacher
from farm_networks.recipe.train import main, rate_factor
from farm_networks.recipe.unfolding import unfold
from farm_networks.starter import SHA256, WEIGHTS
from farm_networks.starter.network import BLOCKS, StarterGoogLeNet, Widths, fold

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
def test_shipped_weights_can_be_trained_further() -> None:
    """Their batch norms are put back, with the statistics of pictures, and change no score."""
    x = torch.randn(4, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    network = StarterGoogLeNet()
    unfold(network, WEIGHTS, x)
    assert network.inception4c.branch1.bn.running_var.min() >= 0
    with torch.inference_mode():
        wanted = load_shipped()(x)
        torch.testing.assert_close(network.eval()(x), wanted, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(fold(network)(x), wanted, atol=1e-3, rtol=1e-3)


@pytest.mark.slow
def test_wider_blocks_start_with_the_scores_of_narrower_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(10)
    x = torch.randn(4, 3, 64, 64, generator=generator)
    with monkeypatch.context() as narrower:
        for block in ("inception4d", "inception5a", "inception5b"):
            narrower.setitem(BLOCKS, block, Widths(16, 8, 24, 8, 16, 8))
        narrow = StarterGoogLeNet(5).eval()
        randomise_norms(narrow, generator)
        narrow = fold(narrow)
    save_file(narrow.state_dict(), tmp_path / "narrow.safetensors")
    wide = StarterGoogLeNet(5)
    unfold(wide, tmp_path / "narrow.safetensors", x)
    with torch.inference_mode():
        torch.testing.assert_close(wide.eval()(x), narrow(x), atol=1e-4, rtol=1e-4)
    assert wide.inception5b.branch1.conv.weight.abs().amax((1, 2, 3)).min() > 0


def test_averaged_weights_get_statistics_of_their_own_but_kept_blocks_do_not() -> None:
    generator = torch.Generator().manual_seed(11)
    network = StarterGoogLeNet(5)
    randomise_norms(network, generator)
    norms = {n: m for n, m in network.named_modules() if isinstance(m, nn.BatchNorm2d)}
    before = {name: norm.running_mean.clone() for name, norm in norms.items()}
    pictures = torch.randint(0, 256, (6, 3, 64, 64), generator=generator, dtype=torch.uint8)
    measure_norms(network, pictures, 64, "inception4c")
    for name, norm in norms.items():
        is_kept = name < "inception4d"
        assert torch.equal(norm.running_mean, before[name]) is is_kept
    first, seen = network.inception4d.branch1, list[torch.Tensor]()
    first.conv.register_forward_hook(lambda _module, _inputs, output: seen.append(output))
    with torch.inference_mode():
        network(normalise(sample_whole(pictures, 64)))
    torch.testing.assert_close(first.bn.running_mean, seen[0].mean((0, 2, 3)), atol=1e-5, rtol=1e-4)


@pytest.mark.slow
def test_balancing_changes_blocks_but_no_score() -> None:
    generator = torch.Generator().manual_seed(6)
    pictures = torch.randint(0, 256, (4, 3, 64, 64), generator=generator, dtype=torch.uint8)
    network, x = load_shipped(), torch.randn(2, 3, 64, 64, generator=generator)
    extract = FeatureExtractor(network, ["inception3b", "inception4c"])
    with torch.no_grad():
        before, features = extract(x)
        balance(network, pictures, 64)
        after, balanced = extract(x)
    torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(balanced["inception3b"], features["inception3b"])
    assert float((balanced["inception4c"] - features["inception4c"]).abs().max()) > 0.1


@pytest.mark.slow
def test_the_shipped_network_is_calm_where_a_picture_is_plain() -> None:
    """What a block responds with to a plain sky, its dreams repeat all over that sky."""
    generator = torch.Generator().manual_seed(7)
    extract = FeatureExtractor(load_shipped(), ["inception4c"])
    busy = torch.rand(8, 3, 24, 24, generator=generator)
    busy = nn.functional.interpolate(busy, (96, 96), mode="bicubic").clamp(0, 1)
    plain = draw_plain(32, 96, generator)
    with torch.no_grad():
        calm, usual = (
            float(extract(normalise(x))[1]["inception4c"].square().mean()) for x in (plain, busy)
        )
    assert calm < 0.6 * usual


def test_large_photographs_give_more_squares(tmp_path: Path) -> None:
    for name, side in {"small": 100, "large": 360}.items():
        Image.new("RGB", (side, side), (10, 200, 30)).save(tmp_path / f"{name}.png")
    split = load_photographs([tmp_path], 32, 0)
    assert split.pictures.shape == (9 + 1, 3, 32, 32)
    assert (split.labels == UNLABELLED).all()


class ColourTeacher(nn.Module):
    """A teacher with the blocks that are compared; it names colours, the strongest channel."""

    def __init__(self) -> None:
        super().__init__()
        self.runs = 0
        self.c3, self.c4, self.e4, self.b5 = (nn.Conv2d(3, 300, 1, 16) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        for block in (self.c3, self.c4, self.e4, self.b5):
            block(x)
        return x.mean((2, 3)).flip(1) * 9


def test_a_teachers_outputs_are_computed_once_for_each_view(tmp_path: Path) -> None:
    """Its outputs are also matched with the classes, here in reversed order."""
    torch.manual_seed(8)
    pictures = torch.zeros(6, 3, 32, 32, dtype=torch.uint8)
    labels = torch.arange(6) % 3
    pictures[torch.arange(6), labels] = 255
    network = ColourTeacher()
    teacher = Teacher(network, Split(pictures, labels), 64, 0.5)
    stored = StoredOutputs(teacher, tmp_path, 6, 2)
    indices, runs = torch.tensor([4, 0, 1]), network.runs
    draw = lambda at, side: sample_whole(pictures[at], side)  # noqa: E731
    first, again = stored.get(1, indices, draw), stored.get(1, indices, draw)
    assert network.runs == runs + 1
    assert first["classes"].argmax(1).tolist() == [1, 0, 1]
    assert first["inception4c"].shape == (3, 128, 2, 2)
    for name, output in first.items():
        assert torch.equal(output, again[name])
    other = StoredOutputs(teacher, tmp_path, 6, 2)
    assert torch.equal(other.get(1, indices, draw)["logits"], first["logits"])
    assert network.runs == runs + 1


@pytest.mark.slow
def test_the_recipe_writes_a_network_and_resumes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A command trains on a drawn data set; the same command with more epochs resumes."""
    data, output = draw_dataset(tmp_path / "data"), tmp_path / "drawn.safetensors"
    command = [str(data), "-o", str(output), "--side", "32", "--stored", "32", "--batch", "6"]

    (tmp_path / "photographs").mkdir()
    Image.new("RGB", (80, 60), (90, 20, 160)).save(tmp_path / "photographs" / "1.png")
    command += ["--photographs", str(tmp_path / "photographs")]

    main([*command, "--epochs", "1"])
    first = load_file(output)
    main([*command, "--epochs", "2"])
    second = load_file(output)

    StarterGoogLeNet(3, folded=True).load_state_dict(second, strict=True)
    assert not torch.equal(first["fc.weight"], second["fc.weight"])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1", "epoch 2"]


@pytest.mark.slow
def test_kept_blocks_paint_the_same_strokes_after_more_training(tmp_path: Path) -> None:
    data, start, output = (
        draw_dataset(tmp_path / "data"),
        tmp_path / "a.safetensors",
        tmp_path / "b",
    )
    command = [str(data), "--side", "64", "--stored", "32", "--batch", "6", "--epochs", "1"]
    main([*command, "-o", str(start)])
    main([*command, "-o", str(output), "--start", str(start), "--keep", "inception4a"])

    x = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(9))
    blocks = ["inception3b", "inception4a", "inception4c"]
    with torch.no_grad():
        before, after = (FeatureExtractor(load(path), blocks)(x)[1] for path in (start, output))
    for kept in blocks[:2]:
        torch.testing.assert_close(after[kept], before[kept], atol=0.01, rtol=0.01)
    assert float((after["inception4c"] - before["inception4c"]).abs().max()) > 0.02


def load(path: Path) -> StarterGoogLeNet:
    network = StarterGoogLeNet(3, folded=True).eval()
    network.load_state_dict(load_file(path))
    return network.float()
