"""What stays loaded: by the content of files, least recently used first, within a bound in bytes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from farm.engine.cache import LoadedFiles, bytes_of
from farm.engine.context import FrameContext
from farm.engine.networks import EXTRACTORS, NetworkCache
from farm.host.registry import Registry
from farm.model.job import Plan


def test_the_least_recently_used_value_is_dropped_beyond_the_bound() -> None:
    loaded, loads = LoadedFiles(limit=20), list[str]()

    def get(name: str) -> str:
        return loaded.get(name, lambda: loads.append(name) or name, lambda _: 10)

    for name in ("a", "b", "a", "c", "a", "b"):
        assert get(name) == name
    assert loads == ["a", "b", "c", "b"]


def test_the_latest_value_stays_however_large_it_is() -> None:
    loaded = LoadedFiles(limit=20)
    for size in (5, 100):
        for _ in range(2):
            loaded.get(size, lambda size=size: size, lambda size: size)
        assert len(loaded) == 1 if size == 100 else True


def test_values_that_grow_with_use_count_with_their_present_size() -> None:
    loaded = LoadedFiles(limit=20)
    first = loaded.get("first", lambda: [1] * 5, len)
    loaded.get("second", lambda: [1] * 5, len)
    assert len(loaded) == 2
    first += [1] * 50
    loaded.get("second", list, len)
    assert len(loaded) == 1


def test_shared_tensors_count_once() -> None:
    layer = nn.Linear(10, 10)
    assert bytes_of(layer) == 4 * (100 + 10)
    assert bytes_of(layer, nn.Sequential(layer, nn.Linear(1, 1))) == 4 * (110 + 2)


def make_context(networks: NetworkCache, precision: str = "float32") -> FrameContext:
    return FrameContext(
        device="cpu",
        plan=Plan(precision=precision),
        networks=networks,
        frame="frame",
        report=lambda *_: None,
        is_cancelled=lambda: False,
        read=lambda _: np.zeros((1, 1, 3)),
    )


@pytest.fixture
def networks() -> NetworkCache:
    return NetworkCache(Registry.load().network, "cpu")


def read_levels(path: Path) -> Tensor:
    return torch.tensor([*path.read_bytes()], dtype=torch.float32)


def test_a_file_is_loaded_once_and_again_when_its_content_differs(
    tmp_path: Path, networks: NetworkCache
) -> None:
    path, copy = tmp_path / "lut", tmp_path / "copy"
    for file in (path, copy):
        file.write_bytes(b"\1\2\3")
    first = make_context(networks).load(str(path), read_levels)
    assert first.tolist() == [1, 2, 3]
    assert make_context(networks).load(str(path), read_levels) is first
    assert make_context(networks).load(str(copy), read_levels) is first, "equal content"
    path.write_bytes(b"\3\2\1")
    assert make_context(networks).load(str(path), read_levels).tolist() == [3, 2, 1]


def test_a_loaded_tensor_has_the_dtype_of_the_context(
    tmp_path: Path, networks: NetworkCache
) -> None:
    path = tmp_path / "lut"
    path.write_bytes(b"\1\2\3")
    for precision, dtype in (("float32", torch.float32), ("float64", torch.float64)):
        assert make_context(networks, precision).load(str(path), read_levels).dtype == dtype


def test_loaded_files_and_networks_share_one_bound(tmp_path: Path) -> None:
    networks = NetworkCache(Registry.load().network, "cpu", LoadedFiles(limit=10))
    path = tmp_path / "lut"
    path.write_bytes(b"\1" * 9)
    context = make_context(networks)
    context.load(str(path), read_levels)
    context.network("starter")
    assert len(networks.loaded) == 1


def test_a_network_keeps_a_bounded_number_of_cuts(networks: NetworkCache) -> None:
    network = networks.get("starter", None, "float32")
    layers = network.layers[: EXTRACTORS + 3]
    first = network.extractor(layers[:1])
    for layer in layers:
        network.extractor((layer,))
    assert len(network._extractors) == EXTRACTORS
    assert network.extractor(layers[-1:]) is network.extractor(layers[-1:])
    assert network.extractor(layers[:1]) is not first
