"""Every number of a preset is a parameter, and a wrong one is refused by name."""

from dataclasses import fields
from typing import Any

import pytest

from farm import BadParameter
from farm.host.vetting import task_fault, validate_params
from farm_dcgan.params import DcganParams
from farm_dcgan.presets import CATS128, DCGAN64, FACES256, PRESETS, Preset
from farm_dcgan.task import Dcgan

FIXED = {"generator", "discriminator", "side"}
"""Fields of a preset that are its layers."""


def recipe(**values: Any) -> Preset:
    params = validate_params(Dcgan, values)
    assert isinstance(params, DcganParams)
    return params.recipe()


def test_the_farm_accepts_the_task() -> None:
    assert task_fault(Dcgan) == ""


def test_every_number_of_a_preset_is_a_parameter() -> None:
    assert {field.name for field in fields(Preset)} - FIXED <= {*DcganParams.model_fields}


@pytest.mark.parametrize("name", PRESETS)
def test_without_further_parameters_the_recipe_is_the_preset(name: str) -> None:
    assert recipe(preset=name) == PRESETS[name]


def test_a_parameter_takes_the_place_of_the_presets_number() -> None:
    own = recipe(preset="cats128", batch=8, flip=True, prior="normal", augment=["cutout"])
    assert (own.batch, own.flip, own.prior, own.augment) == (8, True, "normal", ("cutout",))
    assert own.discriminator_rate == CATS128.discriminator_rate
    assert recipe(preset="faces256", unit_gain=True, clip=0).clip == 0


def test_the_presets_have_the_published_numbers() -> None:
    rates = {k: (p.generator_rate, p.discriminator_rate) for k, p in PRESETS.items()}
    assert rates == {"dcgan64": (2e-4, 2e-4), "cats128": (2e-4, 5e-5), "faces256": (1e-4, 1e-4)}
    assert [p.batch for p in PRESETS.values()] == [128, 64, 16]
    assert [p.prior for p in PRESETS.values()] == ["uniform", "uniform", "normal"]
    assert {p.latent for p in PRESETS.values()} == {100}
    assert {p.slope for p in PRESETS.values()} == {0.2}
    assert {p.beta1 for p in PRESETS.values()} == {0.5}
    assert {p.real_label for p in PRESETS.values()} == {1.0}
    assert FACES256.beta2 == pytest.approx(0.99997778, abs=1e-8)
    assert (FACES256.clip, FACES256.unit_gain, FACES256.fresh_latents) == (16, False, True)
    assert (FACES256.steps, FACES256.jitter) == (50_000, 0.2)
    assert CATS128.steps == 215 * 100
    assert (DCGAN64.beta2, DCGAN64.unit_gain) == (0.999, True)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"preset": "cats256"}, "preset: should be 'dcgan64', 'cats128' or 'faces256', not"),
        ({"batch": 1}, "batch: should be greater than or equal to 2, not 1"),
        ({"width": 0}, "width: should be greater than 0, not 0"),
        ({"augment": ["blur"]}, "augment: should be 'colour', 'translation' or 'cutout', not"),
        ({"real_label": 1.2}, "real_label: should be less than or equal to 1, not 1.2"),
        ({"beta1": 1}, "beta1: should be less than 1, not 1"),
        ({"rate": 0.1}, "rate: dcgan has no such parameter; choose one of preset, steps, "),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: dict[str, Any], message: str) -> None:
    with pytest.raises(BadParameter) as error:
        validate_params(Dcgan, values)
    assert str(error.value).startswith(message)
