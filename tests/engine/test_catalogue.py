"""`farm networks` describes the networks correctly."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from farm.engine import catalogue
from farm.engine.networks import HEAD, NetworkCache
from farm.errors import BadParameter
from farm.host.registry import Registry
from farm.model.specs import NetworkSpec
from farm_networks.starter import WEIGHTS
from farm_networks.torchvision_models import torchvision_spec


@pytest.fixture(autouse=True)
def torch_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return tmp_path / "hub" / "checkpoints"


def bare() -> NetworkSpec:
    build = lambda: nn.Sequential(nn.Conv2d(3, 5, 3, stride=(1, 2)))  # noqa: E731
    return NetworkSpec("bare", build, description="one convolution")


@pytest.mark.slow
def test_a_row_describes_a_network_and_where_its_weights_are(torch_home: Path) -> None:
    specs = {"bare": bare(), "squeezenet1_0": torchvision_spec("squeezenet1_0")}
    plain, fetched = catalogue.rows(specs)
    assert plain == {
        "name": "bare",
        "weights": "missing",
        "file": "",
        "description": "one convolution",
        "layers": ["0"],
    }
    assert fetched["weights"] == "to download"
    assert str(fetched["file"]).endswith("/squeezenet1_0-b66bff10.pth")
    torch_home.mkdir(parents=True)
    file = torch_home / "squeezenet1_0-b66bff10.pth"
    file.touch()
    (row,) = catalogue.rows({"squeezenet1_0": specs["squeezenet1_0"]})
    assert (row["weights"], row["file"]) == ("present", str(file))


@pytest.mark.slow
def test_the_layers_of_googlenet() -> None:
    rows = {row["layer"]: row for row in catalogue.layers(torchvision_spec("googlenet"))}
    assert rows["inception4c"] == {
        "layer": "inception4c",
        "channels": 512,
        "stride": "16",
        "reach": "-71..+99",
    }
    assert next(iter(rows)) == "conv1"
    assert list(rows)[-2:] == ["inception5b", HEAD]
    assert rows[HEAD] == rows["inception5b"] | {"layer": HEAD, "channels": 1000}


@pytest.mark.slow
def test_the_starters_layers_match_the_loaded_network() -> None:
    specs = Registry.load().networks
    (row,) = catalogue.rows({"starter": specs["starter"]})
    assert (row["weights"], row["file"]) == ("present", str(WEIGHTS))
    torch.set_num_threads(1)
    network = NetworkCache(specs.__getitem__, "cpu").get("starter", None, "float32")
    names = ("conv1", "inception4c", HEAD)
    extractor = network.extractor(names)
    rows = {r["layer"]: r for r in catalogue.layers(specs["starter"])}
    for name, shape in extractor.shapes(512, 512).items():
        down, across = extractor.reach[name]
        assert down == across
        assert rows[name] == {
            "layer": name,
            "channels": shape.channels,
            "stride": str(down.stride),
            "reach": f"{down.first:+d}..{down.last:+d}",
        }


@pytest.mark.slow
def test_vggs_layers_have_the_papers_names() -> None:
    rows = {row["layer"]: row for row in catalogue.layers(torchvision_spec("vgg19"))}
    assert (rows["relu4_2"]["channels"], rows["relu4_2"]["stride"]) == (512, "8")
    assert "features.22" not in rows


def test_the_classes_are_listed_with_their_numbers() -> None:
    rows = catalogue.classes(Registry.load().networks["starter"])
    assert rows[30]["number"] == 30
    assert str(rows[30]["class"]).startswith("tabby")
    assert len(rows) == 200
    with pytest.raises(BadParameter, match="bare has no named classes; choose another network"):
        catalogue.classes(bare())


class AcrossChannels(nn.Module):
    """Requires its number of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(4)

    def forward(self, image: Tensor) -> Tensor:
        return self.norm(image.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)  # type: ignore[no-any-return]


@pytest.mark.slow
def test_layers_that_cannot_be_probed_or_tiled_are_still_listed() -> None:
    def build() -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), AcrossChannels(), nn.GroupNorm(2, 4), nn.Flatten()
        )

    rows = {row["layer"]: row for row in catalogue.layers(NetworkSpec("mixed", build))}
    assert (rows["0"]["reach"], rows["1"]["reach"]) == ("-1..+1", "-1..+1")
    assert rows["2"]["reach"] == "layer 2 depends on the whole picture; use --tile none"
    assert rows["3"]["reach"] == "layer 3 of mixed has no spatial features; choose another layer"
