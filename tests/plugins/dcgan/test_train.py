"""`farm dcgan`: a run trains, resumes to the last bit, and does not depend on its observers."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from torch import Tensor

from farm import BadInput
from farm.engine.training import StepResult, TrainState, read_facts
from farm.engine.world import World
from farm.errors import Cancelled
from farm_dcgan.convnets import Generator
from farm_dcgan.task import RESULT
from farm_dcgan.train import DcganTraining

from ...engine.threads import Threads  # noqa: TID252 - shared with the tests of the world
from .conftest import MakeContext, MakeTraining, checkpoint, make_run

pytestmark = pytest.mark.slow

STEPS = 20
EVERYTHING = {
    "fresh_latents": True,
    "unit_gain": False,
    "clip": 1e-3,
    "jitter": 0.2,
    "prior": "normal",
    "augment": ["colour", "translation", "cutout"],
    "noise": 0.1,
    "noise_steps": 15,
    "spectral_norm": True,
    "discriminator_steps": 2,
}
"""Parameters that draw random numbers, keep buffers or have optimisers of their own kind."""


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def digest_of(folder: Path) -> str:
    with safe_open(folder / RESULT, "pt") as file:
        return str(json.loads(file.metadata()["farm-dcgan"])["digest"])


@pytest.mark.parametrize("params", [{}, EVERYTHING], ids=["plain", "everything"])
def test_a_run_that_was_stopped_equals_an_uninterrupted_one(
    tmp_path: Path, drawings: str, make_context: MakeContext, params: dict[str, Any]
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    make_run(**params).train((drawings,), straight, make_context())
    with pytest.raises(Cancelled):
        make_run(**params).train((drawings,), stopped, make_context(stop_after=STEPS // 2))
    assert not (stopped / RESULT).exists()
    make_run(**params).train((drawings,), stopped, make_context())
    assert digest_of(stopped) == digest_of(straight)
    assert (stopped / RESULT).read_bytes() == (straight / RESULT).read_bytes()
    assert len(log_of(straight)) == STEPS
    assert [line["generator"] for line in log_of(stopped)] == [
        line["generator"] for line in log_of(straight)
    ]


def forget_module(name: str) -> Callable[[TrainState, TrainState], None]:
    def forget(state: TrainState, fresh: TrainState) -> None:
        state.modules[name].load_state_dict(fresh.modules[name].state_dict())

    return forget


def forget_optimizer(name: str) -> Callable[[TrainState, TrainState], None]:
    def forget(state: TrainState, _fresh: TrainState) -> None:
        state.optimizers[name].state.clear()

    return forget


def forget_buffers(name: str) -> Callable[[TrainState, TrainState], None]:
    def forget(state: TrainState, fresh: TrainState) -> None:
        old = dict(fresh.modules[name].named_buffers())
        for key, value in state.modules[name].named_buffers():
            value.copy_(old[key])

    return forget


def forget_step(state: TrainState, _fresh: TrainState) -> None:
    state.step = 0


def forget_nothing(_state: TrainState, _fresh: TrainState) -> None:
    pass


@pytest.fixture(scope="module")
def interrupted(
    make_training: MakeTraining, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, str]:
    """Return a checkpoint of the middle of a run, and the digest of its end."""
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    training = make_training()
    state = training.state({})
    take(training.step, state, STEPS // 2)
    state.save(path)
    take(training.step, state, STEPS // 2)
    return path, state.digest()


@pytest.mark.parametrize(
    ("forget", "is_whole"),
    [
        (forget_nothing, True),
        (forget_module("generator"), False),
        (forget_module("discriminator"), False),
        (forget_module("average"), False),
        (forget_buffers("generator"), False),
        (forget_buffers("discriminator"), False),
        (forget_buffers("average"), True),  # the next step copies the generator's
        (forget_optimizer("generator"), False),
        (forget_optimizer("discriminator"), False),
        (forget_step, False),
    ],
)
def test_every_part_of_the_state_counts(
    interrupted: tuple[Path, str],
    make_training: MakeTraining,
    forget: Callable[[TrainState, TrainState], None],
    *,
    is_whole: bool,
) -> None:
    """A run that resumes without one part ends in another state, so a checkpoint needs each."""
    path, digest = interrupted
    training = make_training()
    state = training.state({})
    state.load(path)
    forget(state, make_training().state({}))
    take(training.step, state, STEPS // 2)
    assert (state.digest() == digest) == is_whole


def take(
    step: Callable[[TrainState, range], StepResult], state: TrainState, count: int, batch: int = 4
) -> list[StepResult]:
    results = []
    for _ in range(count):
        results.append(step(state, range(batch)))
        state.step += 1
    return results


def test_observing_and_sampling_change_nothing(
    tmp_path: Path, make_training: MakeTraining, make_context: MakeContext
) -> None:
    alone, watched = make_training(), make_training()
    first, second = alone.state({}), watched.state({})
    before = torch.get_rng_state()
    for number in range(6):
        take(alone.step, first, 1)
        take(watched.step, second, 1)
        watched.observe()
        second.save(tmp_path / f"{number}.safetensors")
        sampler = make_run().sampler(tmp_path / f"{number}.safetensors", make_context())
        sampler.draw(sampler.latents(3, seed=number))
        assert first.digest() == second.digest()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    tmp_path: Path, drawings: str, make_context: MakeContext
) -> None:
    straight, damaged = tmp_path / "straight", tmp_path / "damaged"
    make_run(every=5).train((drawings,), straight, make_context())
    with pytest.raises(Cancelled):
        make_run(every=5).train((drawings,), damaged, make_context(stop_after=11))
    newest = checkpoint(damaged, 12)
    newest.write_bytes(newest.read_bytes()[:-1000])
    context = make_context()
    make_run(every=5).train((drawings,), damaged, context)
    assert "resumed from step 10" in context.notes[0]  # type: ignore[attr-defined]
    assert digest_of(damaged) == digest_of(straight)


def test_a_checkpoint_of_another_preset_is_refused_in_one_line(
    tmp_path: Path, drawings: str, make_context: MakeContext
) -> None:
    make_run(steps=1).train((drawings,), tmp_path, make_context())
    with pytest.raises(BadInput) as error:
        make_run(preset="cats128", steps=2).train((drawings,), tmp_path, make_context())
    assert "preset was 'dcgan64' and is now 'cats128'" in str(error.value)
    assert "\n" not in str(error.value)
    assert checkpoint(tmp_path, 1).is_file()


def test_other_pictures_are_another_run(
    tmp_path: Path, drawings: str, make_context: MakeContext
) -> None:
    make_run(steps=1).train((drawings,), tmp_path / "run", make_context())
    other = tmp_path / "other"
    other.mkdir()
    Image.fromarray(np.zeros((30, 30, 3), np.uint8)).save(other / "a.png")
    with pytest.raises(BadInput, match="belongs to another run"):
        make_run(steps=2).train((str(other),), tmp_path / "run", make_context())


def test_a_run_can_be_extended_and_given_other_checkpoints(
    tmp_path: Path, drawings: str, make_context: MakeContext
) -> None:
    make_run(steps=3).train((drawings,), tmp_path, make_context())
    make_run(steps=5, every=1, kept=2).train((drawings,), tmp_path, make_context())
    assert [line["step"] for line in log_of(tmp_path)] == [1, 2, 3, 4, 5]
    names = sorted(path.name for path in (tmp_path / "checkpoints").glob("*.safetensors"))
    assert names == ["step-00000004.safetensors", "step-00000005.safetensors"]


@pytest.mark.parametrize("params", [{}, EVERYTHING], ids=["plain", "everything"])
def test_two_workers_with_half_a_batch_each_begin_like_one(
    make_training: MakeTraining, params: dict[str, Any]
) -> None:
    alone = make_training(**params)
    expected = alone.step(alone.state({}), range(4))
    one_at_a_time = threading.Lock()

    def program(world: World) -> tuple[StepResult, dict[str, Tensor]]:
        with one_at_a_time:  # threads share torch's generator, which draws the first weights
            training = make_training(world, **params)
        result = training.step(training.state({}), world.rows(4))
        return result, dict(training.generator.state_dict())

    (first, weights), (second, others) = Threads(2).run(program)
    for name, loss in expected.losses.items():
        together = float(first.losses[name] + second.losses[name])
        assert together == pytest.approx(float(loss), abs=1e-6)
    for name, figure in expected.figures.items():
        together = float(first.figures[name] + second.figures[name])
        assert together == pytest.approx(float(figure), abs=1e-6)
    assert all(torch.equal(value, others[name]) for name, value in weights.items())
    for name, value in alone.generator.state_dict().items():
        if "running" in name:
            torch.testing.assert_close(weights[name], value, rtol=1e-4, atol=1e-6)


def test_only_real_pictures_move_the_discriminators_running_statistics(
    make_training: MakeTraining,
) -> None:
    faint, strong = make_training(), make_training()
    with torch.no_grad():
        strong.generator.layers[-1][0].weight.mul_(50)  # type: ignore[operator, index, union-attr]
    for training in (faint, strong):
        training.step(training.state({}), range(4))
    others = dict(strong.discriminator.named_buffers())
    assert others
    for name, value in faint.discriminator.named_buffers():
        assert torch.equal(value, others[name])


def test_the_figures_of_a_step_are_finite_and_probabilities(make_training: MakeTraining) -> None:
    training = make_training()
    for result in take(training.step, training.state({}), 3):
        assert {*result.losses} == {"discriminator", "generator"}
        assert all(bool(loss.isfinite()) for loss in result.losses.values())
        assert {*result.figures} == {"D(x)", "D(G(z))"}
        assert all(0 < float(figure) < 1 for figure in result.figures.values())


def test_the_grid_shows_the_average_from_the_same_latents_at_every_checkpoint(
    make_training: MakeTraining,
) -> None:
    training = make_training(average=0.0)
    state = training.state({})
    first = training.observe().pictures["grid"]
    assert first.shape == (1, 3, 8 * 64, 8 * 64)
    assert torch.equal(training.observe().pictures["grid"], first)
    take(training.step, state, 1)
    second = training.observe().pictures["grid"]
    assert not torch.equal(second, first)
    assert 0 <= float(second.min()) <= float(second.max()) <= 1


def test_the_sampler_draws_what_the_average_draws(
    tmp_path: Path, drawings: str, make_context: MakeContext
) -> None:
    make_run(steps=3).train((drawings,), tmp_path, make_context())
    sampler = make_run(steps=3).sampler(checkpoint(tmp_path, 3), make_context())
    latents = sampler.latents(5, seed=2)
    assert latents.shape == (5, 100)
    assert torch.equal(sampler.latents(9, seed=2)[:5], latents)
    pictures = sampler.draw(latents)
    assert pictures.shape == (5, 3, 64, 64)
    torch.testing.assert_close(sampler.draw(latents[2:3])[0], pictures[2])
    generator = Generator(make_run().params.recipe()).eval()
    with safe_open(tmp_path / RESULT, "pt") as file:
        generator.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118 - no mapping
    with torch.no_grad():
        torch.testing.assert_close((generator(latents) + 1) / 2, pictures)


def test_a_checkpoint_of_another_width_draws_nothing(
    tmp_path: Path, drawings: str, make_context: MakeContext
) -> None:
    make_run(steps=1).train((drawings,), tmp_path, make_context())
    with pytest.raises(BadInput, match="shape"):
        make_run(width=0.05).sampler(checkpoint(tmp_path, 1), make_context())


def test_inputs_are_refused_before_the_run_starts(
    tmp_path: Path, drawings: str, make_context: MakeContext
) -> None:
    make_run().check_inputs((drawings,), make_context())
    with pytest.raises(BadInput, match="2 sets of pictures given; give one"):
        make_run().check_inputs((drawings, drawings), make_context())
    with pytest.raises(BadInput, match="nothing"):
        make_run().check_inputs((str(tmp_path / "nothing"),), make_context())


def test_an_unreadable_picture_is_skipped_and_named(
    tmp_path: Path, drawings: str, make_context: MakeContext
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for number in range(3):
        (folder / f"{number}.png").write_bytes((Path(drawings) / f"{number}.png").read_bytes())
    (folder / "1.png").write_bytes(b"no picture")
    context = make_context()
    make_run(steps=2).train((str(folder),), tmp_path / "run", context)
    assert "unreadable pictures skipped: 1, such as" in context.notes[-1]  # type: ignore[attr-defined]


def test_a_single_picture_can_be_trained_on(tmp_path: Path, make_context: MakeContext) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.fromarray(np.full((30, 50, 3), 90, np.uint8)).save(folder / "a.png")
    make_run(steps=2).train((str(folder),), tmp_path / "run", make_context())
    assert (tmp_path / "run" / RESULT).is_file()


LIVELY = {
    "width": 0.1,
    "batch": 8,
    "augment": ["colour", "translation"],
    "generator_rate": 1e-2,
    "discriminator_rate": 1e-3,
}
"""With these, so narrow a generator draws diverse pictures after 30 to 60 steps."""


def warning_after(training: DcganTraining, batch: int = 8, steps: int = 75) -> str:
    """Return what the detector says in the end, if it is less patient than in a run."""
    detector = replace(training.detector(), patience=steps - 15)
    state = training.state({})
    for number in range(steps):
        (result,) = take(training.step, state, 1, batch)
        assert result.pictures is not None
        _, warning = detector.check(number, {}, detector.measure(result.pictures).mean(0))
    return warning


def test_a_healthy_run_is_no_collapse(make_training: MakeTraining) -> None:
    assert warning_after(make_training(**LIVELY)) == ""


def test_a_generator_that_ignores_its_latents_is_a_collapse(make_training: MakeTraining) -> None:
    training = make_training(**LIVELY)
    draw = training.generator.forward
    training.generator.forward = lambda latents: draw(torch.ones_like(latents))  # type: ignore[method-assign]
    assert "the generator collapsed" in warning_after(training)


def test_a_discriminator_that_learns_far_too_fast_is_a_collapse(
    make_training: MakeTraining,
) -> None:
    rates = {"generator_rate": 2e-3, "discriminator_rate": 0.3}
    training = make_training(**LIVELY | {"augment": []} | rates)
    assert "its pictures are all alike" in warning_after(training)


def test_a_discriminator_that_learns_nothing_is_a_collapse(make_training: MakeTraining) -> None:
    training = make_training(**LIVELY | {"augment": [], "discriminator_rate": 1e-30})
    assert "its pictures are all alike" in warning_after(training)


def test_fewer_pictures_than_a_batch_are_noted(drawings: str, make_context: MakeContext) -> None:
    context = make_context()
    assert [*make_run(batch=24).notes_on_inputs((drawings,), context)] == []
    (note,) = make_run(batch=25).notes_on_inputs((drawings,), context)
    assert note.startswith("24 pictures are fewer than a batch of 25")


def test_the_facts_that_are_known_before_work_are_those_of_the_checkpoint(
    tmp_path: Path, drawings: str, make_context: MakeContext
) -> None:
    run = make_run(steps=1)
    run.train((drawings,), tmp_path, make_context())
    assert read_facts(checkpoint(tmp_path, 1)) == run.facts((drawings,), make_context())
