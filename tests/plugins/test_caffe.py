"""Caffe's GoogLeNet computes what its prototxt says, with the weights of a .caffemodel file."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from farm.engine import catalogue, gradient, objectives
from farm.engine.networks import HEAD, Network, NetworkCache
from farm.engine.weights import load_weights
from farm.errors import BadInput, BadParameter, WeightsMissing
from farm.host.registry import Registry
from farm.media import read_record
from farm.model.job import weights_key
from farm.planning.contents import Contents
from farm.storage import sha256_file
from farm_networks.caffe import caffe_spec

from ..caffe_files import (  # noqa: TID252 - shared between rooms
    Blobs,
    Layer,
    compute,
    deploy,
    prototxt,
    random_blobs,
    write,
)
from ..end_to_end.conftest import Command, draw  # noqa: TID252 - shared between rooms

pytestmark = pytest.mark.slow

CLASSIFIER = "loss3/classifier_cats"
BVLC_MEAN = (104, 117, 123)


class Child(NamedTuple):
    """A file of a GoogLeNet that somebody fine-tuned to 5 classes."""

    path: Path
    layers: list[Layer]
    blobs: Blobs


@pytest.fixture(scope="module")
def child(tmp_path_factory: pytest.TempPathFactory) -> Child:
    layers = deploy(5, CLASSIFIER)
    blobs = random_blobs(layers)
    path = tmp_path_factory.mktemp("caffe") / "child.caffemodel"
    return Child(write(path, blobs), layers, blobs)


@pytest.fixture(scope="module")
def network(child: Child) -> Network:
    torch.set_num_threads(1)
    return NetworkCache(Registry.load().network, "cpu").get(str(child.path), None, "float64")


def picture(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height)
    return torch.rand(1, 3, height, width, dtype=torch.float64, generator=generator)


def caffe_data(image: Tensor) -> Tensor:
    """Return what Caffe's data layer gives: BGR in 0..255 minus BVLC's mean."""
    return image.flip(1) * 255 - torch.tensor(BVLC_MEAN, dtype=image.dtype).view(1, 3, 1, 1)


# The network


def test_every_layer_computes_what_the_prototxt_says(child: Child, network: Network) -> None:
    image = picture(224, 224)
    wanted = compute(child.layers, child.blobs, caffe_data(image))
    names = [layer.name for layer in child.layers if layer.name != CLASSIFIER]
    with torch.no_grad():
        found = network.extractor(names)(image)
        scores = network.extractor((HEAD,))(image)[HEAD].mean((2, 3))
        module, _ = load_weights(caffe_spec("child", child.path), None)
        whole = module.eval().double()(caffe_data(image).flip(1))
    for name in names:
        torch.testing.assert_close(found[name], wanted[name], rtol=1e-9, atol=1e-9, msg=name)
    for logits in (scores, whole):
        torch.testing.assert_close(logits, wanted[CLASSIFIER], rtol=1e-9, atol=1e-9)


def test_pictures_of_other_sizes_are_pooled_as_in_caffe(child: Child, network: Network) -> None:
    image = picture(157, 203)
    wanted = compute(child.layers[:-2], child.blobs, caffe_data(image))
    with torch.no_grad():
        found = network.extractor(("inception_5b/output",))(image)["inception_5b/output"]
    torch.testing.assert_close(found, wanted["inception_5b/output"], rtol=1e-9, atol=1e-9)


@pytest.mark.skipif(
    not hasattr(cv2.dnn, "readNetFromCaffe"), reason="OpenCV 5 reads no networks of Caffe"
)
@pytest.mark.parametrize("is_old", [False, True])
def test_opencv_reads_the_same_file_and_computes_the_same(
    child: Child, network: Network, tmp_path: Path, *, is_old: bool
) -> None:
    description = tmp_path / "deploy.prototxt"
    description.write_text(prototxt(child.layers, 224))
    path = write(tmp_path / "file.caffemodel", child.blobs, is_old=is_old)
    peer = cv2.dnn.readNetFromCaffe(str(description), str(path))
    image = picture(224, 224)
    peer.setInput(caffe_data(image).float().numpy())
    features, scores = peer.forward(["inception_5b/output", CLASSIFIER])
    with torch.no_grad():
        found = network.extractor(("inception5b", HEAD))(image)
    for ours, theirs in ((found["inception5b"], features), (found[HEAD].mean((2, 3)), scores)):
        wanted = torch.tensor(theirs, dtype=torch.float64)
        assert float((ours - wanted).norm() / wanted.norm()) < 1e-5


@pytest.mark.parametrize("layers", [("inception3a",), ("pool1/norm1", "inception_3b/pool")])
def test_the_tiled_gradient_equals_the_whole_gradient(
    network: Network, layers: tuple[str, ...]
) -> None:
    image, extractor = picture(190, 233), network.extractor(layers)
    objective = (objectives.Energy(dict.fromkeys(layers, 1.0)),)
    crops: list[int] = []
    whole = gradient.gradient(image, extractor, objective, 0)
    tiled = gradient.gradient(image, extractor, objective, 64, on_tile=crops.append)
    assert len(crops) > 4
    assert tiled[0] == pytest.approx(whole[0], rel=1e-12)
    assert float((tiled[1] - whole[1]).norm() / whole[1].norm()) < 1e-10


def test_reach_is_measured_through_the_normalisation(network: Network) -> None:
    reach, _ = network.extractor(("inception3a",)).reach["inception3a"]
    assert (reach.stride, reach.first, reach.last) == (8, -23, 35)


def test_caffes_names_and_the_farms_name_the_same_layers(network: Network) -> None:
    for farms, caffes in (("inception5b", "inception_5b/output"), ("pool5", "pool5/7x7_s1")):
        assert network.spec.aliases[farms] == caffes
        assert caffes in network.layers
    assert network.main_layers[0] == "conv1"
    assert network.main_layers[-2:] == ("pool5", HEAD)


# What differs between files


def test_both_formats_give_the_same_network(child: Child, tmp_path: Path) -> None:
    old = write(tmp_path / "old.caffemodel", child.blobs, is_old=True)
    (first, _), (second, _) = (
        load_weights(caffe_spec("googlenet", path), None) for path in (child.path, old)
    )
    assert len(first.state_dict()) == len(second.state_dict()) == 2 * len(child.blobs)
    for name, value in first.state_dict().items():
        layer, _, kind = name.rpartition(".")
        blob = child.blobs[layer][("weight", "bias").index(kind)]
        np.testing.assert_array_equal(value, blob, err_msg=name)
        assert torch.equal(second.state_dict()[name], value)


def test_the_classes_come_from_the_classifier(network: Network) -> None:
    assert network.classes == ("0", "1", "2", "3", "4")
    imagenet = caffe_spec("caffe-googlenet").classes()
    assert (len(imagenet), imagenet[207]) == (1000, "golden retriever")


@pytest.mark.parametrize(
    ("mean", "rgb"), [((), (123, 117, 104)), ((90, 100, 110), (110, 100, 90)), ((128,), (128,) * 3)]
)
def test_the_mean_is_that_of_the_file(
    child: Child, tmp_path: Path, mean: tuple[float, ...], rgb: tuple[float, ...]
) -> None:
    path = tmp_path / "mean.caffemodel"
    spec = caffe_spec("mean", write(path, child.blobs, mean=mean, scale=0.5))
    assert spec.mean == pytest.approx([value / 255 for value in rgb])
    assert spec.std == pytest.approx([2 / 255] * 3)


def test_the_auxiliary_classifiers_of_a_training_run_are_left_out(
    child: Child, tmp_path: Path
) -> None:
    heads = {
        "loss1/fc": [np.ones((1024, 2048), np.float32), np.ones(1024, np.float32)],
        "loss1/classifier_cats": [np.ones((7, 1024), np.float32), np.ones(7, np.float32)],
    }
    spec = caffe_spec("child", write(tmp_path / "a.caffemodel", heads | dict(child.blobs)))
    module, _ = load_weights(spec, None)
    assert module.get_submodule(CLASSIFIER).out_features == len(spec.classes()) == 5
    assert not any(name.startswith("loss1") for name in module.state_dict())


def test_code_in_the_name_of_a_layer_does_not_run(child: Child, tmp_path: Path) -> None:
    witness = tmp_path / "witness"
    name = f'loss3")\n    open({str(witness)!r}, "w")\n    ("'
    blobs = {(name if layer == CLASSIFIER else layer): b for layer, b in child.blobs.items()}
    path = write(tmp_path / "evil.caffemodel", blobs)
    network = NetworkCache(Registry.load().network, "cpu").get(str(path), None, "float32")
    with torch.no_grad():
        network.extractor((HEAD,))(torch.rand(1, 3, 64, 64))
    assert not witness.exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"conv2/3x3": None}, "conv2/3x3.weight is missing or has another shape"),
        (
            {"conv1/7x7_s2": [np.ones((64, 3, 5, 5), np.float32), np.ones(64, np.float32)]},
            "conv1/7x7_s2.weight is missing or has another shape",
        ),
        ({CLASSIFIER: None}, "no layer classifies 1024 features"),
        (
            {
                CLASSIFIER: None,
                "forward": [np.ones((5, 1024), np.float32), np.ones(5, np.float32)],
            },
            "its classifier has the name 'forward'",
        ),
    ],
)
def test_another_network_is_refused(
    child: Child, tmp_path: Path, change: dict[str, list[np.ndarray] | None], reason: str
) -> None:
    blobs = {k: v for k, v in (dict(child.blobs) | change).items() if v is not None}
    spec = caffe_spec("other", write(tmp_path / "other.caffemodel", blobs))
    with pytest.raises(BadInput, match=f"other.caffemodel: is neither Caffe's Goog.*: {reason}; "):
        load_weights(spec, None)


def test_a_network_with_further_layers_is_refused(child: Child, tmp_path: Path) -> None:
    blobs = dict(child.blobs) | {"extra": [np.ones((2, 2, 1, 1), np.float32)]}
    spec = caffe_spec("other", write(tmp_path / "other.caffemodel", blobs))
    with pytest.raises(BadParameter, match=r"does not fit other: it also has extra\.weight"):
        load_weights(spec, None)


# How a user names it


def test_the_file_may_be_given_as_weights(child: Child) -> None:
    cache = NetworkCache(Registry.load().network, "cpu")
    network = cache.get("caffe-googlenet", str(child.path), "float32")
    assert (network.name, len(network.classes)) == ("caffe-googlenet", 5)
    assert network.digest == sha256_file(child.path)
    with pytest.raises(WeightsMissing, match="'caffe-googlenet' has no weights here"):
        cache.get("caffe-googlenet", None, "float32")


def test_the_layers_of_a_file_are_listed(child: Child) -> None:
    spec = Registry.load().network(str(child.path))
    (row,) = catalogue.rows({spec.name: spec})
    assert (row["weights"], row["file"]) == ("present", str(child.path))
    assert row["layers"] == [*spec.aliases, HEAD]


def test_the_job_depends_on_the_content_of_the_file(child: Child) -> None:
    digests = Contents(Registry.load(), lambda _: None).of_networks([str(child.path)])
    assert digests == {weights_key(str(child.path)): sha256_file(child.path)}


def test_a_file_is_read_again_when_it_changes(child: Child, tmp_path: Path) -> None:
    path = write(tmp_path / "mine.caffemodel", child.blobs)
    assert len(caffe_spec("mine", path).classes()) == 5
    write(path, random_blobs(deploy(6)))
    assert len(caffe_spec("mine", path).classes()) == 6


def test_a_dream_records_the_file_by_name_and_digest(child: Child, tmp_path: Path) -> None:
    command = Command(tmp_path / "here")
    draw(command.folder / "photo.png")
    (command.folder / "child.caffemodel").hardlink_to(child.path)
    words = "dream photo.png -o out.png --network child.caffemodel --layer inception_3a/output"
    done = command.run(*words.split(), "--iterations", 1, "--octaves", 1, "--threads", 1)
    assert done.returncode == 0, done.stderr
    record = read_record(str(command.folder / "out.png"))
    assert record is not None
    assert record["params"]["network"] == "child.caffemodel"
    assert record["networks"] == {"child.caffemodel": sha256_file(child.path)}
    before, after = (np.asarray(Image.open(command.folder / n)) for n in ("photo.png", "out.png"))
    assert (before != after).any()
