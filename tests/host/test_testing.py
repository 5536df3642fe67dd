"""check_effect passes a correct effect and names each fault of an incorrect one."""

import contextlib
import random
from typing import Any

import numpy as np
import pytest
import torch

from farm import Cancelled, Effect, Field, TaskParams
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


calls = iter(range(1000))
FAULTS = {
    "keep the size": lambda _self, image, _: image[..., 1:],
    "torch.float64 for torch.float32": lambda _self, image, _: image.double(),
    "not finite": lambda _self, image, _: image / 0,
    "changed its input": lambda _self, image, _: image.mul_(0.5),
    "torch's global generator; use context.generator": (
        lambda _self, image, _: torch.rand_like(image)
    ),
    "used random's": python_random,
    "used numpy.random's": numpy_random,
    "the same seed gave different pixels, by up to 1": lambda _self, image, _: image + next(calls),
    "render continued after context.progress raised Cancelled": swallow,
    "progress must be a fraction in 0..1, not 3": lambda _self, image, context: (
        context.progress(3) or image
    ),
}


@pytest.mark.parametrize("message", FAULTS)
def test_each_fault_is_named(message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_effect(rendering_with(FAULTS[message]))


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
    assert context.mean(picture) == 1
    assert context.generator().initial_seed() == context.seed == 3
    with pytest.raises(
        Exception, match=r"other.png: FakeContext has no such picture; add it to pictures"
    ):
        context.read("other.png")
    with pytest.raises(Exception, match="unknown network 'starter'"):
        context.network("starter")
