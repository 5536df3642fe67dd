"""Train a generator against a discriminator.

Source: Goodfellow et al. 2014, "Generative adversarial nets", arXiv 1406.2661, with the
non-saturating loss of its section 3 for the generator; Radford, Metz, Chintala 2015, arXiv
1511.06434.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from farm import Context, PictureSet
from farm.engine.training import (
    DiversityDetector,
    Feed,
    Observation,
    StepResult,
    TrainingOptions,
    TrainState,
    frozen_running_statistics,
    optimizer_step,
    row_generator,
    seeded,
    spread_of,
    update_average,
)
from farm_dcgan import diffaugment, latent
from farm_dcgan.convnets import Discriminator, Generator
from farm_dcgan.params import DcganParams
from farm_dcgan.presets import Preset
from farm_dcgan.real_pictures import prepare
from farm_dcgan.sampler import AVERAGE, draw, grid_of, write_generator

GRID: Final = 8
"""Pictures in a row of the grid."""

_COMPARED: Final = 256
"""Real pictures whose spread is compared with that of generated ones."""


def train(source: str, result: Path, params: DcganParams, context: Context) -> None:
    """Start or resume the run in the result's folder, and write the result: the average."""
    recipe = params.recipe()
    pictures = context.pictures(source)
    with Feed(pictures, context.seed, recipe.batch, partial(prepare, recipe)) as feed:
        training = DcganTraining(recipe, feed, context)
        state = training.state(facts_of(params.preset, recipe, pictures))
        context.train(
            state,
            training.step,
            TrainingOptions(result.parent, recipe.steps, recipe.batch, params.every, params.kept),
            observe=training.observe,
            detector=training.detector(),
        )
    if context.world.rank == 0:
        facts = {**state.facts, "steps": state.step, "digest": state.digest()}
        write_generator(result, training.average, facts)


def facts_of(preset: str, recipe: Preset, pictures: PictureSet) -> dict[str, Any]:
    """Return what must stay the same when a run is resumed."""
    facts: dict[str, Any] = {"preset": preset}
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        if field.name not in ("generator", "discriminator", "steps"):
            facts[field.name] = "+".join(sorted(value)) if isinstance(value, tuple) else value
    return facts | {"pictures": len(pictures), "sha256 of the pictures": pictures.digest}


class DcganTraining:
    """One run: the two networks, the average of the generator, and a step of both."""

    def __init__(self, recipe: Preset, feed: Feed, context: Context) -> None:
        self._recipe, self._feed, self._context = recipe, feed, context
        with seeded(context.seed):
            self.generator = Generator(recipe, context.world)
            self.discriminator = Discriminator(recipe, context.world)
            self.average = Generator(recipe)
        self.average.load_state_dict(self.generator.state_dict())
        self.average.eval()
        for network in (self.generator, self.discriminator, self.average):
            network.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def state(self, facts: Mapping[str, Any]) -> TrainState:
        """Return the state of a run that starts."""
        modules = {
            "generator": self.generator,
            "discriminator": self.discriminator,
            AVERAGE: self.average,
        }
        optimizers = {
            "generator": self._adam(self.generator),
            "discriminator": self._adam(self.discriminator),
        }
        return TrainState(modules, optimizers, self._context.seed, facts)

    def _adam(self, network: nn.Module) -> torch.optim.Adam:
        """Return an optimiser that cuts large values off the gradients of the whole batch."""
        recipe = self._recipe
        optimizer = torch.optim.Adam(network.parameters(), betas=(recipe.beta1, recipe.beta2))
        if recipe.clip:
            optimizer.register_step_pre_hook(partial(_cut_gradients, recipe.clip))
        return optimizer

    def detector(self) -> DiversityDetector:
        """Return what warns when the generator's pictures are less diverse than real ones."""
        batch = self._recipe.batch
        real = [
            self._feed.batch(step, range(batch)).pictures for step in range(-(-_COMPARED // batch))
        ]
        return DiversityDetector(spread_of(torch.cat(real)[:_COMPARED]))

    def step(self, state: TrainState, rows: range) -> StepResult:
        """Train the discriminator, perhaps several times, and then the generator once.

        Unless its latents are fresh, the generator is judged by the pictures of the
        discriminator's last step, which are drawn once for both.
        """
        recipe = self._recipe
        for turn in range(recipe.discriminator_steps):
            is_last = turn == recipe.discriminator_steps - 1
            with self._pass(differentiates=is_last and not recipe.fresh_latents):
                fakes = self._fakes(state, rows, f"{turn}")
            loss, figures = self._train_discriminator(state, rows, turn, fakes.detach())
        if recipe.fresh_latents:
            fakes = self._fakes(state, rows, "generator")
        losses = {"discriminator": loss, "generator": self._train_generator(state, rows, fakes)}
        update_average(self.average, self.generator, recipe.average, state.step)
        return StepResult(losses, fakes.detach(), figures, warning=self._feed.warning)

    def _train_discriminator(
        self, state: TrainState, rows: range, turn: int, fakes: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Take one step; return the loss and the mean probabilities that pictures are real.

        Real and generated pictures are normalised apart. The running statistics of the
        discriminator are those of real pictures: what it would judge after the training.
        """
        recipe, network = self._recipe, self.discriminator
        number = state.step * recipe.discriminator_steps + turn
        real = self._feed.batch(number, rows).pictures.to(fakes)
        of_real = network(self._seen(real, state, rows, f"real {turn}"))
        with frozen_running_statistics(network):
            of_fakes = network(self._seen(fakes, state, rows, f"fake {turn}"))
        loss = self._loss(of_real, recipe.real_label) + self._loss(of_fakes, 0)
        self._take_step(state, "discriminator", loss, recipe.discriminator_rate)
        figures = {"D(x)": of_real, "D(G(z))": of_fakes}
        means = {name: v.detach().sigmoid().sum() / recipe.batch for name, v in figures.items()}
        return loss.detach(), means

    def _train_generator(self, state: TrainState, rows: range, fakes: Tensor) -> Tensor:
        """Take one step towards pictures that pass as real; return the loss."""
        with frozen_running_statistics(self.discriminator):
            logits = self.discriminator(self._seen(fakes, state, rows, "generator"))
        loss = self._loss(logits, 1)
        self._take_step(state, "generator", loss, self._recipe.generator_rate)
        return loss.detach()

    def _take_step(self, state: TrainState, name: str, loss: Tensor, rate: float) -> None:
        """Without unit gain, the first moment, and so the step, is 1 / (1 - beta1) as large."""
        gain = 1 if self._recipe.unit_gain else 1 / (1 - self._recipe.beta1)
        optimizer_step(state.optimizers[name], loss, gain * rate, self._context.world)

    def _loss(self, logits: Tensor, label: float) -> Tensor:
        """Return the cross-entropy of these rows, divided by the size of the whole batch."""
        labels = torch.full_like(logits, label)
        loss = F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
        return loss / self._recipe.batch

    def _fakes(self, state: TrainState, rows: range, use: str) -> Tensor:
        """Return a generated picture for each row."""
        generators = (row_generator(state.seed, state.step, row, f"z {use}") for row in rows)
        latents = latent.draw_rows(self._recipe.prior, self._recipe.latent, generators)
        pictures: Tensor = self.generator(latents.to(self._context.device))
        return pictures

    @contextmanager
    def _pass(self, *, differentiates: bool) -> Iterator[None]:
        """Make a pass of the generator; only one that trains it updates running statistics."""
        if differentiates:
            yield
        else:
            with torch.no_grad(), frozen_running_statistics(self.generator):
                yield

    def _seen(self, pictures: Tensor, state: TrainState, rows: range, use: str) -> Tensor:
        """Return the pictures as the discriminator sees them: augmented, and with noise."""
        recipe, seed, step = self._recipe, state.seed, state.step
        if recipe.augment:
            draws = diffaugment.draw(seed, step, rows, use)
            pictures = diffaugment.augment(pictures, draws, recipe.augment)
        if deviation := recipe.noise * max(0, 1 - step / recipe.noise_steps):
            generators = (row_generator(seed, step, row, f"noise {use}") for row in rows)
            noise = [torch.randn(pictures.shape[1:], generator=own) for own in generators]
            pictures = pictures + deviation * torch.stack(noise).to(pictures)
        return pictures

    def observe(self) -> Observation:
        """Return a grid of what the averaged generator draws, always from the same latents."""
        recipe = self._recipe
        rows = range(GRID**2)
        generators = (row_generator(self._context.seed, 0, row, "grid") for row in rows)
        latents = latent.draw_rows(recipe.prior, recipe.latent, generators)
        pictures = draw(self.average, latents.to(self._context.device))
        return Observation({"grid": grid_of(pictures, GRID)})


def _cut_gradients(limit: float, optimizer: Optimizer, *_: object) -> None:
    """Cut the values of all gradients to -limit..limit."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            parameter.grad.clamp_(-limit, limit)
