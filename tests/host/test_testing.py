"""check_effect passes a correct effect and names each fault of an incorrect one."""

import contextlib
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from farm import (
    BadInput,
    Cancelled,
    Effect,
    Field,
    MaskPath,
    NetworkParams,
    NetworkSpec,
    TaskParams,
    UnknownName,
    Weights,
)
from farm.engine.masks import fit_mask, read_mask
from farm.engine.objectives import Energy
from farm.engine.training import seeded
from farm.testing import FakeContext, check_effect


class Base(Effect):
    """Keeps the picture."""

    name = "base"

    def render(self, image: Any, context: Any) -> Any:
        return image


class Grain(Effect):
    """Film grain."""

    name = "grain"

    class Params(TaskParams):
        amount: float = Field(0.1, ge=0, le=1, description="0 is none.")

    def render(self, image: Any, context: Any) -> Any:
        context.progress(0.5)
        noise = torch.randn(image.shape, generator=context.generator())
        return image + self.params.amount * noise


def test_a_correct_effect_passes() -> None:
    check_effect(Grain)
    check_effect(Grain, Grain.Params(amount=0.9))


class Masked(Effect):
    """Keeps what a mask shows."""

    name = "masked"

    class Params(TaskParams):
        mask: MaskPath | None = Field(None, description="Keep what is white in this picture.")

    def render(self, image: Any, context: Any) -> Any:
        mask = read_mask(self.params.mask, context.read(self.params.mask))
        return image * fit_mask(self.params.mask, mask, *image.shape[2:])


def test_an_effect_is_checked_with_the_file_that_a_parameter_names(tmp_path: Path) -> None:
    """The pictures to render have the shape of the mask, as the farm's have."""
    Image.effect_noise((300, 90), 90).save(tmp_path / "mask.png")
    check_effect(Masked, Masked.Params(mask=str(tmp_path / "mask.png")))
    with pytest.raises(BadInput, match=r"mask.jpg: no such file"):
        check_effect(Masked, Masked.Params(mask=str(tmp_path / "mask.jpg")))


def test_an_effect_is_checked_with_a_picture_that_is_no_file() -> None:
    check_effect(Masked, Masked.Params(mask="m.png"), pictures={"m.png": torch.ones(1, 3, 4, 6)})


def rendering_with(render: Any) -> type[Effect]:
    return type("Faulty", (Base,), {"__doc__": "Faulty.", "render": render})


def swallow(self: Any, image: Any, context: Any) -> Any:
    with contextlib.suppress(Cancelled):
        context.progress(0)
    return image


def python_random(self: Any, image: Any, context: Any) -> Any:
    return image + random.random()


def numpy_random(self: Any, image: Any, context: Any) -> Any:
    return image + np.random.rand()  # noqa: NPY002 - the fault to find


def seeding(self: Any, image: Any, context: Any) -> Any:
    torch.manual_seed(3)
    return image + torch.rand(1)


def initial_seed(self: Any, image: Any, context: Any) -> Any:
    return image + torch.initial_seed() % 3


def darken(self: Any, image: Any, context: Any) -> Any:
    self.count = getattr(self, "count", 0) + 1
    return image / self.count


calls = iter(range(1000))
FAULTS = {
    "other pixels when the same instance rendered the same frame again": darken,
    r"rendered torch.float32 of shape \[3, 48, 64\]": lambda _self, image, _: image[0],
    "rendered a float, not a tensor": lambda _self, _image, _context: 0.5,
    "NaN or infinity": lambda _self, image, _: image / 0,
    "changed its input": lambda _self, image, _: image.mul_(0.5),
    "64x48 for one frame of 64x48 and 63x48 for another": (
        lambda _self, image, context: image[..., context.number :]
    ),
    "depends on torch's global generator: under another global seed, pixels differ by up to 0": (
        lambda _self, image, _: image + torch.rand(1)
    ),
    "depends on random's global": python_random,
    "depends on numpy.random's global": numpy_random,
    "render seeds torch's global generator": seeding,
    "the same seed gave different pixels, by up to 1;": initial_seed,
    "the same seed gave different pixels, by up to 1; ": lambda _self, image, _: (
        image + next(calls) % 2
    ),
    "render continued after context.progress raised Cancelled": swallow,
    "progress must be a fraction in 0..1, not 3": lambda _self, image, context: (
        context.progress(3) or image
    ),
}


@pytest.mark.parametrize("message", FAULTS)
def test_each_fault_is_named(message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_effect(rendering_with(FAULTS[message]))


def test_an_effect_may_change_the_size_and_the_kind_of_float() -> None:
    check_effect(rendering_with(lambda _self, image, _: image[..., ::2].double()))


def test_what_is_drawn_and_thrown_away_is_no_fault() -> None:
    def render(self: Any, image: Any, context: Any) -> Any:
        layer = torch.nn.Conv2d(3, 3, 1)  # draws its weights
        torch.nn.init.ones_(layer.weight)
        return image * layer.weight.mean()

    check_effect(rendering_with(render))


def test_the_global_generators_are_as_before_a_check() -> None:
    before = torch.get_rng_state()
    check_effect(Grain)
    assert torch.equal(torch.get_rng_state(), before)


class Sharpen(Effect):
    """Follow a network's gradient."""

    name = "sharpen"
    Params = NetworkParams

    def check(self, context: Any) -> None:
        context.network(self.params.network)

    def render(self, image: Any, context: Any) -> Any:
        network = context.network(self.params.network)
        layer = network.main_layers[0]
        _, gradient = context.gradient(image, network, Energy({layer: 1.0}))
        return image + gradient


def test_an_effect_with_a_network_is_checked_with_the_installed_ones() -> None:
    check_effect(Sharpen)


def small_network() -> torch.nn.Module:
    with seeded(1):
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, padding=1), torch.nn.ReLU())


def test_an_effect_is_checked_with_a_network_that_is_given(tmp_path: Path) -> None:
    save_file(small_network().state_dict(), tmp_path / "small.safetensors")
    spec = NetworkSpec("small", small_network, Weights(tmp_path / "small.safetensors"))
    check_effect(Sharpen, NetworkParams(network="small"), networks=[spec])


def test_an_unknown_network_is_a_user_error() -> None:
    with pytest.raises(UnknownName, match="unknown network 'qqq'"):
        check_effect(Sharpen, NetworkParams(network="qqq"))


def test_a_parameter_without_a_description_is_named() -> None:
    class Undescribed(TaskParams):
        amount: float = 1

    silent = type("Silent", (Base,), {"__doc__": "Silent.", "Params": Undescribed})
    with pytest.raises(AssertionError, match="without a description: amount"):
        check_effect(silent)


def test_an_abstract_effect_is_named() -> None:
    class Half(Effect):
        """Half."""

        name = "half"

    with pytest.raises(AssertionError, match="'half' is abstract; define render"):
        check_effect(Half)


def test_fake_context_reads_the_pictures_it_is_given() -> None:
    picture = torch.ones(1, 3, 2, 2)
    context = FakeContext(pictures={"mask.png": picture}, seed=3)
    assert context.read("mask.png") is picture
    assert context.read(str(Path("mask.png").absolute())) is picture
    assert context.mean(picture) == 1
    assert context.generator().initial_seed() == context.seed == 3
    with pytest.raises(BadInput, match=r"other.png: no such file; check the name, or give"):
        context.read("other.png")
    assert context.network("starter").name == "starter"


@pytest.mark.parametrize(
    ("name", "meant"),
    [("keeps_strenght", "keeps_strength"), ("is_endles", "is_endless"), ("chek", "check")],
)
def test_a_misspelt_name_of_the_contract_is_found(name: str, meant: str) -> None:
    faulty = type("Faulty", (Base,), {"__doc__": "Faulty.", name: True})
    with pytest.raises(AssertionError, match=rf"Faulty\.{name} means .* did you mean {meant}\?"):
        check_effect(faulty)
    check_effect(type("Fine", (Base,), {"__doc__": "Fine.", f"_{name}": True, "note": ""}))
