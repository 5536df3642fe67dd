"""Networks by name: their layers, class scores, shapes and caching."""

import re
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from torchvision import models

from farm.engine.networks import HEAD, Network, NetworkCache, Shape
from farm.errors import BadParameter, UnknownName, WeightsMissing
from farm.host.registry import Registry
from farm.model.job import Precision
from farm.model.specs import NetworkSpec
from farm_networks.torchvision_models import torchvision_spec

RandomNetwork = Callable[[str, Precision], Network]

IMAGENET = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]], dtype=torch.float64)


def picture(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)


def network_of(module: nn.Module, **fields: object) -> Network:
    spec = replace(NetworkSpec("small", lambda: module), **fields)
    return Network(spec, module, "", "cpu", "float32")


# Names


@pytest.mark.slow
def test_the_papers_layer_names_are_aliases_in_vgg(random_network: RandomNetwork) -> None:
    extractor = random_network("vgg19", "float32").extractor(
        ("relu4_2", "features.22", "pool1", "features.4", "conv5_4", "features.34")
    )
    features = extractor(picture(48, 50).float())
    for alias, numbered in (("relu4_2", 22), ("pool1", 4), ("conv5_4", 34)):
        assert torch.equal(features[alias], features[f"features.{numbered}"])


@pytest.mark.parametrize(
    "name", [f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]
)
def test_every_alias_of_every_vgg_names_a_layer_of_its_kind(name: str) -> None:
    kinds = {"conv": nn.Conv2d, "bn": nn.BatchNorm2d, "relu": nn.ReLU, "pool": nn.MaxPool2d}
    with torch.device("meta"):
        features = models.get_model(name, weights=None).features
    aliases = torchvision_spec(name).aliases
    assert len(aliases) == len(features)
    for alias, layer in aliases.items():
        part = features[int(layer.removeprefix("features."))]
        assert isinstance(part, kinds[alias.rstrip("0123456789_")])


@pytest.mark.slow
def test_layers_are_listed_in_execution_order(random_network: RandomNetwork) -> None:
    layers = random_network("googlenet", "float32").layers
    wanted = ["conv1", "maxpool1", "inception3a", "inception4c", "inception5b", "fc", HEAD]
    assert [layer for layer in layers if layer in wanted] == wanted


def test_an_unknown_layer_suggests_similar_names(random_network: RandomNetwork) -> None:
    network = random_network("googlenet", "float32")
    with pytest.raises(UnknownName, match=r"layer of googlenet 'inception4z'; did you mean incep"):
        network.extractor(("conv1", "inception4z"))


def test_an_unknown_network_suggests_similar_names_and_loads_nothing() -> None:
    cache = NetworkCache(Registry.load().network, "cpu")
    with pytest.raises(UnknownName, match="unknown network 'googlnet'; did you mean googlenet"):
        cache.get("googlnet", None, "float32")


def test_every_torchvision_classifier_is_found_by_name() -> None:
    registry = Registry.load()
    assert registry.network("vgg16") is registry.networks["vgg16"]
    for name in models.list_models(module=models):
        spec = registry.network(name)
        assert spec.name == name
        assert spec.weights.url is not None
        assert spec.weights.url().startswith("https://download.pytorch.org/")
        assert len(spec.classes()) == 1000


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("regnet_y_400mf", "trunk_output.block2"),
        ("mobilenet_v2", "features.5"),
        ("densenet121", "features.denseblock1"),
        ("efficientnet_b0", "features.3"),
        ("shufflenet_v2_x0_5", "stage2"),
    ],
)
def test_other_torchvision_networks_run_to_a_layer(
    random_network: RandomNetwork, name: str, layer: str
) -> None:
    extractor = random_network(name, "float32").extractor((layer,))
    features = extractor(picture(64, 72).float())[layer]
    assert features.isfinite().all()
    assert features.std() > 0


# Classes


def torchvision_like(name: str, network: Network) -> nn.Module:
    """Return torchvision's own network with the same weights; its input is ImageNet-normalised."""
    options = (
        {"aux_logits": False, "transform_input": True, "init_weights": False}
        if name in {"googlenet", "inception_v3"}
        else {}
    )
    with torch.device("meta"):
        module: nn.Module = models.get_model(name, weights=None, **options)
    module.load_state_dict(network._module.state_dict(), assign=True)
    return module.double().eval()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("googlenet", 224),
        ("resnet50", 224),
        ("squeezenet1_0", 224),
        pytest.param("vgg16", 224, marks=pytest.mark.proof),
        ("inception_v3", 299),
    ],
)
def test_the_mean_score_equals_torchvisions_classifier(
    random_network: RandomNetwork, name: str, side: int
) -> None:
    network, image = random_network(name, "float64"), picture(side, side)
    mean, std = IMAGENET.view(2, 1, 3, 1, 1)
    with torch.no_grad():
        scores = network.extractor((HEAD,))(image)[HEAD].mean((2, 3))
        wanted = torchvision_like(name, network)((image - mean) / std)
    assert float((scores - wanted).norm() / wanted.norm()) < 1e-12


def test_classes_are_found_by_name_number_and_prefix(random_network: RandomNetwork) -> None:
    network = random_network("googlenet", "float32")
    assert len(network.classes) == 1000
    assert network.class_shares("281") == network.class_shares("tabby") == {281: 1.0}
    golden, crane = map(network.classes.index, ("golden retriever", "crane"))
    assert network.class_shares("Golden Retr") == {golden: 1.0}
    assert network.class_shares("crane") == {crane: 1.0}


def test_a_word_stands_for_every_class_that_has_it_in_its_name(
    random_network: RandomNetwork,
) -> None:
    """So `cat` is every cat, and not the catamaran, whose name starts with it."""
    network = random_network("googlenet", "float32")
    shares = network.class_shares("cat")
    names = [network.classes[index].split() for index in shares]
    assert len(names) == 5
    assert all("cat" in name for name in names)
    assert set(shares.values()) == {0.2}


@pytest.mark.parametrize("name", ["tabbycat", "²", ""])
def test_an_unknown_class_is_refused(random_network: RandomNetwork, name: str) -> None:
    with pytest.raises(UnknownName, match=f"unknown class of googlenet {name!r}"):
        random_network("googlenet", "float32").class_shares(name)


def test_a_number_that_no_class_has_is_refused_with_the_range(
    random_network: RandomNetwork,
) -> None:
    with pytest.raises(
        BadParameter, match="googlenet has classes 0 to 999, not 1000; `farm networ"
    ):
        random_network("googlenet", "float32").class_shares("1000")


def test_an_unknown_class_suggests_similar_names(random_network: RandomNetwork) -> None:
    with pytest.raises(UnknownName, match=r"'goldn retriever'; did you mean golden retriever"):
        random_network("googlenet", "float32").class_shares("goldn retriever")


def test_a_network_without_a_head_has_no_class_scores() -> None:
    network = network_of(nn.Sequential(nn.Conv2d(3, 1, 1)))
    assert HEAD not in network.layers
    with pytest.raises(UnknownName, match="layer of small 'logits'"):
        network.extractor((HEAD,))


# Shapes


SHAPES = [
    ("googlenet", ("conv1", "inception4c")),
    ("inception_v3", ("Mixed_5b", "Mixed_6a")),
    ("resnet50", ("layer1", "layer3")),
    ("squeezenet1_0", ("features.3", "features.12")),
    ("vgg16", ("relu1_2", "relu3_1")),
    ("vgg19", ("pool2", "relu4_1")),
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "layers"), SHAPES)
def test_shapes_match_the_computed_features(
    random_network: RandomNetwork, name: str, layers: tuple[str, ...]
) -> None:
    extractor = random_network(name, "float32").extractor(layers)
    for height, width in ((101, 77), (88, 131)):
        with torch.no_grad():
            features = extractor(picture(height, width).float())
        for layer, shape in extractor.shapes(height, width).items():
            assert (1, shape.channels, shape.rows, shape.columns) == features[layer].shape


@pytest.mark.slow
def test_fits_tells_whether_a_picture_is_large_enough(random_network: RandomNetwork) -> None:
    extractor = random_network("inception_v3", "float32").extractor(("Mixed_7c",))
    sides = [side for side in range(60, 90) if extractor.fits(side, 100)]
    assert sides == list(range(75, 90))
    with pytest.raises(
        BadParameter, match="inception_v3 cannot process a picture of 100x74 down to"
    ):
        extractor.shapes(74, 100)


class EightWide(nn.Module):
    """Accepts only pictures whose number of pixels is a multiple of eight."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image).reshape(1, 2, -1, 8)  # type: ignore[no-any-return]


def test_a_picture_of_an_unsupported_size_prints_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    extractor = network_of(nn.Sequential(EightWide())).extractor(("0",))
    assert extractor.fits(8, 8)
    assert not extractor.fits(9, 9)
    assert capfd.readouterr() == ("", "")


class SevenHigh(nn.Module):
    """Accepts only pictures whose height is a multiple of seven."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        pictures, _, rows, columns = image.shape
        bands = self.conv(image).reshape(pictures, 2, rows // 7, 7, columns)
        return bands.flatten(2, 3)  # type: ignore[no-any-return]


class OnlySide(nn.Module):
    """Accepts only pictures of 224x224."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        return self.conv(image).reshape(image.shape[0], 2, 224, 224)  # type: ignore[no-any-return]


def test_the_channels_of_a_network_for_a_single_size_are_known() -> None:
    assert network_of(nn.Sequential(OnlySide())).extractor(("0",)).channels == {"0": 2}


def test_a_network_for_some_sizes_only_cannot_be_tiled() -> None:
    extractor = network_of(nn.Sequential(SevenHigh())).extractor(("0",))
    assert extractor.fits(14, 15)
    assert not extractor.fits(15, 14)
    with pytest.raises(BadParameter, match="tile: small does not take pictures of every size"):
        _ = extractor.reach


@pytest.mark.slow
@pytest.mark.proof
def test_a_dense_classifier_needs_at_least_its_training_size(
    random_network: RandomNetwork,
) -> None:
    extractor = random_network("vgg16", "float64").extractor((HEAD,))
    assert extractor.fits(224, 224)
    assert not extractor.fits(223, 300)


@pytest.mark.slow
def test_a_layer_without_spatial_features_is_refused(random_network: RandomNetwork) -> None:
    extractor = random_network("resnet50", "float32").extractor(("fc",))
    with pytest.raises(
        BadParameter,
        match="layers: layer fc of resnet50 has no spatial features; choose another layer",
    ):
        extractor.shapes(64, 64)
    assert not extractor.fits(64, 64)


def test_a_layer_with_channels_last_is_refused() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)
            self.norm = nn.LayerNorm(4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.norm(self.conv(x).permute(0, 2, 3, 1))

    network = network_of(Last())
    with pytest.raises(
        BadParameter, match="layer norm of small has its channels last, which is not supported"
    ):
        network.extractor(("norm",)).shapes(64, 48)
    assert network.extractor(("conv",)).shapes(64, 48)["conv"] == Shape(4, 64, 48)


def test_a_layer_before_the_first_parameter_works() -> None:
    network = network_of(nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 2, 1)), mean=(0, 0, 0))
    image = picture(8, 6)
    wanted = nn.functional.max_pool2d(image, 2) / torch.tensor(network.spec.std).view(1, 3, 1, 1)
    torch.testing.assert_close(network.extractor(("0",))(image)["0"], wanted)


# Caching


@pytest.mark.slow
def test_networks_and_extractors_are_cached() -> None:
    cache = NetworkCache(Registry.load().network, "cpu")
    network = cache.get("starter", None, "float32")
    assert cache.get("starter", None, "float32") is network
    assert cache.get("starter", None, "float64") is not network
    assert re.fullmatch("[0-9a-f]{64}", network.digest)
    extractor = network.extractor(["inception3a", "inception4c"])
    assert network.extractor(("inception3a", "inception4c")) is extractor
    assert network.extractor(("inception3a",)) is not extractor


def test_missing_weights_are_reported_when_the_network_is_requested() -> None:
    cache = NetworkCache(lambda _name: NetworkSpec("bare", nn.Identity), "cpu")
    with pytest.raises(WeightsMissing, match="network 'bare' has no weights here"):
        cache.get("bare", None, "float32")
