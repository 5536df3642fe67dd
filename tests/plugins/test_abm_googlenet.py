"""The example plugin of a pruned GoogLeNet loads without torch and has real weights."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from farm.engine import gradient, objectives
from farm.engine.networks import HEAD, Network, NetworkCache
from farm.errors import WeightsMissing
from farm.host.registry import Registry

EXAMPLES = Path(__file__).parents[2] / "plugins" / "examples"
NAME = "abm-googlenet"


@pytest.fixture(scope="module")
def cache() -> NetworkCache:
    torch.set_num_threads(1)
    return NetworkCache(Registry.load(EXAMPLES).network, "cpu")


@pytest.fixture(scope="module")
def network(cache: NetworkCache, shared_data: Path) -> Network:
    weights = shared_data / "weights" / "googlenet_bn_variant_fp16.safetensors"
    return cache.get(NAME, str(weights), "float32")


@pytest.mark.slow
def test_the_plugin_loads_without_importing_torch() -> None:
    script = (
        "import sys; from pathlib import Path; from farm.host.registry import Registry;"
        f"registry = Registry.load(Path({str(EXAMPLES)!r}));"
        f"print({NAME!r} in registry.networks, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
    assert done.stdout.split() == [b"True", b"False"], done.stderr


def test_the_weights_are_missing_unless_given(cache: NetworkCache) -> None:
    with pytest.raises(WeightsMissing, match=r"'abm-googlenet' has no weights here: .*--weights"):
        cache.get(NAME, None, "float32")


@pytest.mark.slow
def test_the_dreams_objective_has_a_gradient(network: Network) -> None:
    image = torch.rand(1, 3, 97, 120, generator=torch.Generator().manual_seed(1))
    objective = objectives.Energy({"c4": 1.0})
    value, derivative = gradient.gradient(image, network.extractor(("c4",)), objective, 64)
    assert value > 0
    assert derivative.isfinite().all()
    assert derivative.abs().mean() > 0


@pytest.mark.slow
def test_the_class_scores_recognise_a_photograph(network: Network, shared_data: Path) -> None:
    """A photograph of coffee is classified as such, so the classes are in torchvision's order."""
    from farm.engine.pyramid import resize
    from farm.media import read_still

    photo = torch.tensor(read_still(str(shared_data / "photos" / "coffee.png")).pixels)
    image = resize(photo.permute(2, 0, 1)[None], 224, 336)[..., 56:280].clamp(0, 1)
    scores = network.extractor((HEAD,))(image)[HEAD].mean((2, 3))[0]
    assert network.classes[int(scores.argmax())] in {"espresso", "cup", "coffee mug"}


@pytest.mark.slow
def test_the_starters_recipe_loads_it_as_a_teacher(network: Network, shared_data: Path) -> None:
    from farm_networks.recipe.teacher import load_teacher

    weights = shared_data / "weights" / "googlenet_bn_variant_fp16.safetensors"
    teacher = load_teacher(f"{EXAMPLES / 'abm_googlenet.py'}:AbmGoogLeNet", weights)
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    extractor = network.extractor((HEAD,))
    with torch.no_grad():
        wanted = extractor(image)[HEAD].mean((2, 3))
        logits = teacher((image - extractor.mean.float()) / extractor.std.float())
    torch.testing.assert_close(logits, wanted, rtol=1e-3, atol=1e-3)
