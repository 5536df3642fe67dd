"""A cut network gives the same features as the original, and runs no deeper."""

import copy
from collections.abc import Callable, Sequence
from functools import partial
from threading import Event, Thread

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from farm.engine import cut
from farm.engine.networks import Extractor, Network
from farm.errors import PluginError
from farm.model.job import Precision
from farm.model.specs import NetworkSpec

RandomNetwork = Callable[[str, Precision], Network]


def picture(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(height * 1000 + width)
    return torch.rand(1, 3, height, width, generator=generator, dtype=torch.float64)


def small_network(module: nn.Module) -> Network:
    spec = NetworkSpec("small", lambda: module, mean=(0, 0, 0), std=(1, 1, 1))
    return Network(spec, module, "", "cpu", "float64")


def plain_features(network: Network, layers: Sequence[str], image: Tensor) -> dict[str, Tensor]:
    """Run the whole unfolded network; copy each layer's output before it can be overwritten."""
    module = copy.deepcopy(network._module).double()
    features = {}

    def record(layer: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        features[layer] = output.clone()

    for layer in layers:
        module.get_submodule(layer).register_forward_hook(partial(record, layer))
    statistics = torch.tensor([network.spec.mean, network.spec.std], dtype=torch.float64)
    mean, std = statistics.view(2, 1, 3, 1, 1)
    with torch.no_grad():
        module((image - mean) / std)
    return features


def assert_same_as_plain(network: Network, layers: Sequence[str], image: Tensor) -> None:
    with torch.no_grad():
        features = network.extractor(layers)(image)
    for layer, wanted in plain_features(network, layers, image).items():
        difference = float((features[layer] - wanted).norm() / wanted.norm())
        assert difference < 1e-10, f"{layer} differs by {difference:.1e}"


def submodules(extractor: Extractor) -> set[str]:
    return {name for name, _ in extractor.body.named_modules()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["googlenet", "resnet50", "inception_v3"])
def test_folding_batch_norm_changes_no_features(random_network: RandomNetwork, name: str) -> None:
    network = random_network(name, "float64")
    layers = cut.outer_layers(network.layers)
    assert len(layers) > 7
    assert_same_as_plain(network, layers, picture(97, 110))
    body = network.extractor(layers[-1:]).body
    assert not any(isinstance(part, nn.BatchNorm2d) for part in body.modules())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("resnet50", ("layer1.0.bn3", "layer1.0", "layer1.1.conv3")),
        ("googlenet", ("conv1.conv", "conv1.bn", "inception3a.branch2.0")),
        ("vgg16", ("features.0", "features.1", "features.7")),
        ("squeezenet1_0", ("features.3.squeeze", "features.3.expand3x3")),
    ],
)
def test_layers_before_a_relu_or_a_sum_or_within_a_branch(
    random_network: RandomNetwork, name: str, layers: tuple[str, ...]
) -> None:
    assert_same_as_plain(random_network(name, "float64"), layers, picture(65, 70))


class Followed(nn.Module):
    """A convolution whose output is overwritten and then read again."""

    def __init__(self, follow: Callable[[nn.Module, Tensor], Tensor | None]) -> None:
        super().__init__()
        self.first, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)
        self.relu, self.end = nn.ReLU(inplace=True), nn.Identity()
        self._follow = follow

    def forward(self, image: Tensor) -> Tensor:
        features = self.first(image)
        returned = self._follow(self, features)
        after = features if returned is None else returned
        return self.end(self.last(after) + features)  # type: ignore[no-any-return]


def relu_and_return_nothing(_module: nn.Module, features: Tensor) -> None:
    features.relu_()


FOLLOWERS = {
    "nothing": lambda _, x: x,
    "a plain ReLU": lambda _, x: F.relu(x),
    "an in-place layer": lambda m, x: m.relu(x),
    "an in-place function": lambda _, x: F.relu(x, inplace=True),
    "an in-place function with a name of its own": lambda _, x: torch.relu_(x),
    "an in-place method": lambda _, x: x.mul_(3),
    "an in-place method whose result is unused": relu_and_return_nothing,
}


@pytest.mark.parametrize("follow", FOLLOWERS.values(), ids=FOLLOWERS)
def test_an_operation_after_a_layer_does_not_change_its_features(
    follow: Callable[[nn.Module, Tensor], Tensor | None],
) -> None:
    torch.manual_seed(3)
    network = small_network(Followed(follow))
    image = picture(9, 8) - 0.5
    assert_same_as_plain(network, ("first", "last", "end"), image)
    assert_same_as_plain(network, ("end",), image)


class SharedConvolution(nn.Module):
    """One convolution used twice, followed by different batch norms."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.end = nn.Conv2d(3, 3, 1), nn.Identity()
        self.bn1, self.bn2 = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.bn2.bias.data.fill_(2)

    def forward(self, image: Tensor) -> Tensor:
        return self.end(self.bn2(self.conv(self.bn1(self.conv(image)))))  # type: ignore[no-any-return]


def test_a_convolution_used_twice_is_folded_separately() -> None:
    torch.manual_seed(4)
    assert_same_as_plain(small_network(SharedConvolution()), ("bn1", "end"), picture(5, 5))


def test_a_convolution_that_is_itself_a_layer_is_not_folded(
    random_network: RandomNetwork,
) -> None:
    network = random_network("googlenet", "float64")
    assert_same_as_plain(network, ("conv1.conv", "conv1"), picture(40, 40))


def test_nothing_deeper_than_the_deepest_layer_runs(random_network: RandomNetwork) -> None:
    extractor = random_network("googlenet", "float64").extractor(("conv2", "inception4a"))
    blocks = {name.partition(".")[0] for name in submodules(extractor) if name}
    assert blocks == {
        *("conv1", "maxpool1", "conv2", "conv3", "maxpool2"),
        *("inception3a", "inception3b", "maxpool3", "inception4a"),
    }


def test_for_a_layer_within_a_branch_other_branches_do_not_run(
    random_network: RandomNetwork,
) -> None:
    extractor = random_network("googlenet", "float64").extractor(("inception3a.branch2.0",))
    branches = {name for name in submodules(extractor) if name.startswith("inception3a.branch")}
    assert branches == {
        *("inception3a.branch2", "inception3a.branch2.0", "inception3a.branch2.0.conv"),
    }


class Asserting(nn.Module):
    """Asserts something about a deeper layer than the one of interest."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.deep = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        deep = self.deep(self.first(image))
        torch._assert(deep.shape[1] == 3, "never holds")
        return deep  # type: ignore[no-any-return]


def test_assertions_about_deeper_layers_do_not_run() -> None:
    extractor = small_network(Asserting()).extractor(("first",))
    assert submodules(extractor) == {"", "first"}
    assert extractor(picture(4, 4))["first"].shape == (1, 2, 4, 4)


def test_parameters_are_frozen_but_the_picture_is_not(random_network: RandomNetwork) -> None:
    extractor = random_network("squeezenet1_0", "float64").extractor(("features.4",))
    assert not extractor.training
    assert not any(p.requires_grad for p in extractor.parameters())
    image = picture(50, 50).requires_grad_()
    (gradient,) = torch.autograd.grad(extractor(image)["features.4"].sum(), image)
    assert gradient.abs().sum() > 0


def test_convolutions_and_features_use_channels_last_memory(random_network: RandomNetwork) -> None:
    extractor = random_network("squeezenet1_0", "float32").extractor(("features.4",))
    convolutions = [m for m in extractor.body.modules() if isinstance(m, nn.Conv2d)]
    assert convolutions
    for conv in convolutions:
        assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    features = extractor(picture(60, 50).float())["features.4"]
    assert features.is_contiguous(memory_format=torch.channels_last)


def test_cutting_does_not_change_the_network(random_network: RandomNetwork) -> None:
    module = nn.Sequential(nn.Conv2d(3, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True))
    before = copy.deepcopy(module.state_dict())
    small_network(module).extractor(("2",))
    assert module[2].inplace
    assert module.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def test_bfloat16_gives_finite_features_and_a_float32_gradient(
    random_network: RandomNetwork,
) -> None:
    rough = random_network("squeezenet1_0", "bfloat16").extractor(("features.4",))
    exact = random_network("squeezenet1_0", "float32").extractor(("features.4",))
    image = picture(60, 50).float().requires_grad_()
    features = rough(image)["features.4"]
    assert features.dtype == torch.bfloat16
    (gradient,) = torch.autograd.grad(features.float().square().sum(), image)
    assert gradient.dtype == torch.float32
    (wanted,) = torch.autograd.grad(exact(image)["features.4"].square().sum(), image)
    assert F.cosine_similarity(gradient.flatten(), wanted.flatten(), dim=0) > 0.95


class DataDependent(nn.Module):
    def forward(self, image: Tensor) -> Tensor:
        return image if image.mean() > 0 else -image


def test_a_network_that_cannot_be_traced_is_refused() -> None:
    with pytest.raises(PluginError, match=r"plugin small: torch\.fx cannot trace the network: "):
        small_network(DataDependent())


class Traced(nn.Module):
    """A network that does something else while it is traced."""

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3)
        self.meanwhile = meanwhile

    def forward(self, x: Tensor) -> Tensor:
        self.meanwhile()
        return F.relu(self.conv(x))


def test_modules_run_in_other_threads_while_a_network_is_traced() -> None:
    other, outputs = nn.Conv2d(3, 3, 3), list[Tensor]()
    image = torch.ones(1, 3, 8, 8)

    def run_elsewhere() -> None:
        thread = Thread(target=lambda: outputs.append(other(image)))
        thread.start()
        thread.join()

    graph = cut.trace(Traced(run_elsewhere), "traced")
    assert torch.equal(outputs[0], other(image))
    assert [node.op for node in graph.nodes].count("call_module") == 1


def test_networks_are_traced_one_after_the_other() -> None:
    before, first_is_done, second_has_begun = nn.Module.__call__, Event(), Event()

    def begin_and_wait() -> None:
        second_has_begun.set()
        first_is_done.wait(10)

    second = Thread(target=cut.trace, args=(Traced(begin_and_wait), "second"))

    def start_second() -> None:
        second.start()
        second_has_begun.wait(0.2)

    cut.trace(Traced(start_second), "first")
    first_is_done.set()
    second.join()
    assert nn.Module.__call__ is before
