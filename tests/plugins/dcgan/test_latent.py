"""Latents follow their prior, and mixtures of them look like latents."""

import pytest
import torch

from farm.engine.training import row_generator
from farm_dcgan import latent
from farm_dcgan.presets import Prior


def rows(prior: Prior) -> torch.Tensor:
    generators = (row_generator(1, 2, row, "latent") for row in range(2))
    return latent.draw_rows(prior, 1000, generators)


def test_latents_follow_the_prior() -> None:
    uniform, normal = rows("uniform"), rows("normal")
    assert float(uniform.abs().max()) <= 1
    assert float(uniform.std()) == pytest.approx(3**-0.5, rel=0.05)
    assert float(normal.std()) == pytest.approx(1, rel=0.05)
    assert float(normal.abs().max()) > 2


@pytest.mark.parametrize("prior", ["uniform", "normal"])
def test_a_mixture_starts_at_the_first_and_ends_at_the_second(prior: Prior) -> None:
    first, second = rows(prior)
    torch.testing.assert_close(latent.mix(prior, first, second, 0), first)
    torch.testing.assert_close(latent.mix(prior, first, second, 1), second)
    torch.testing.assert_close(latent.mix(prior, first, first, 0.5), first)


def test_the_middle_of_normal_latents_keeps_their_length() -> None:
    first, second = rows("normal")
    assert float(latent.mix("normal", first, second, 0.5).norm()) == pytest.approx(
        1000**0.5, rel=0.05
    )
    middle = latent.mix("uniform", *rows("uniform"), 0.5)
    torch.testing.assert_close(middle, sum(rows("uniform")) / 2)
