"""A job that does not continue the run in its folder is refused before any work starts."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from farm.engine.training import TrainState
from farm.engine.training.runs import checkpoint_path
from farm.errors import BadInput, BadOutput, BadParameter, PluginError
from farm.execution.contexts import ContextFactory
from farm.execution.resuming import check_resumed
from farm.host.registry import Registry
from farm.model.job import JobSpec, Plan
from farm.model.unit import Unit

from ..workbench import registry_of  # noqa: TID252 - shared between rooms

FIT = '''
from farm import Field, Run, TaskParams, hookimpl

class Fit(Run):
    """Fit a line."""
    name, result = "fit", "line.txt"
    class Params(TaskParams):
        rate: float = Field(0.5, description="Rate.")
        steps: int = Field(3, description="Steps.")
    def facts(self, inputs, context):
        if self.params.rate > 9:
            raise ZeroDivisionError("no such rate")
        return {"rate": self.params.rate, "sha256 of the data": context.digest(inputs[0]), "start": None}
    def train(self, inputs, folder, context):
        raise NotImplementedError

class Silent(Fit):
    """Fit a line, and tell no facts."""
    name = "silent"
    facts = Run.facts

@hookimpl
def farm_tasks():
    return [Fit, Silent]
'''

SpecOf = Callable[..., JobSpec]


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    return registry_of(FIT, tmp_path)


@pytest.fixture
def spec_of(tmp_path: Path) -> SpecOf:
    """Return the job that resumes a run: ``spec_of(seed=3, rate=0.1)``."""
    (tmp_path / "data.txt").write_text("1 2 3")

    def make(task: str = "fit", seed: int = 7, **params: Any) -> JobSpec:
        return JobSpec(
            task=task,
            params=params,
            inputs=(str(tmp_path / "data.txt"),),
            output=str(tmp_path / "run"),
            plan=Plan(seed=seed),
        )

    return make


@pytest.fixture
def run(registry: Registry, spec_of: SpecOf, tmp_path: Path) -> Path:
    """Return the folder of a run with two checkpoints, which was begun with seed 7."""
    spec, folder = spec_of(), tmp_path / "run"
    context = ContextFactory(registry, "cpu").make(spec.plan, "fit", lambda *_: None, lambda: False)
    task: Any = registry.task("fit")
    write(folder, 1, context.seed, {"rate": 123.0})
    write(folder, 2, context.seed, task(task.Params()).facts(spec.inputs, context))
    (folder / "run.json").write_text('{"task": "fit", "params": {}, "seed": 7}')
    return folder


def write(folder: Path, step: int, seed: int, facts: Any) -> None:
    checkpoint_path(folder, step).parent.mkdir(parents=True, exist_ok=True)
    state = TrainState({"line": torch.nn.Linear(1, 1)}, {}, seed, facts, step=step)
    state.save(checkpoint_path(folder, step))


@pytest.mark.usefixtures("run")
def test_what_may_change_is_free(registry: Registry, spec_of: SpecOf) -> None:
    check_resumed(registry, spec_of(steps=900))


def test_nothing_is_compared_before_the_first_checkpoint(
    registry: Registry, spec_of: SpecOf
) -> None:
    check_resumed(registry, spec_of(rate=0.1))


def test_another_parameter_is_named_with_both_values_and_the_next_step(
    registry: Registry, spec_of: SpecOf, run: Path
) -> None:
    with pytest.raises(BadParameter) as error:
        check_resumed(registry, spec_of(rate=0.1))
    assert str(error.value) == (
        f"rate: the run in {run} was begun with 0.5, not 0.1; use that again to continue it, or "
        "choose another folder with -o"
    )


@pytest.mark.usefixtures("run")
def test_other_data_is_refused(registry: Registry, spec_of: SpecOf) -> None:
    spec = spec_of()
    Path(spec.inputs[0]).write_text("4 5 6")
    with pytest.raises(
        BadInput, match=r"step-00000002.*another run: sha256 of the data was \w{12}\."
    ):
        check_resumed(registry, spec)


@pytest.mark.usefixtures("run")
def test_data_is_not_read_again_whose_digest_the_job_has(
    registry: Registry, spec_of: SpecOf
) -> None:
    spec = spec_of()
    with pytest.raises(BadInput, match="and is now 'taken before'"):
        check_resumed(registry, spec.model_copy(update={"files": {spec.inputs[0]: "taken before"}}))


@pytest.mark.usefixtures("run")
def test_another_seed_is_named_as_it_was_given(registry: Registry, spec_of: SpecOf) -> None:
    with pytest.raises(
        BadParameter, match=r"^seed: the run in .* was begun with 7, not 8; use that"
    ):
        check_resumed(registry, spec_of(seed=8))


def test_the_seed_of_a_run_that_has_its_own_is_free(
    registry: Registry, spec_of: SpecOf, run: Path
) -> None:
    write(run, 3, 1234, {"rate": 0.5, "sha256 of the data": "a"})
    with pytest.raises(BadInput, match="sha256 of the data"):
        check_resumed(registry, spec_of(seed=8))


@pytest.mark.usefixtures("run")
def test_the_run_of_another_task_is_refused(registry: Registry, spec_of: SpecOf) -> None:
    with pytest.raises(BadOutput, match="one of `farm fit`, not `farm silent`; continue it with"):
        check_resumed(registry, spec_of("silent"))


def test_a_run_that_tells_no_facts_decides_for_itself(
    registry: Registry, spec_of: SpecOf, run: Path
) -> None:
    (run / "run.json").unlink()
    check_resumed(registry, spec_of("silent", rate=0.1))


def test_a_damaged_checkpoint_leaves_the_one_before(
    registry: Registry, spec_of: SpecOf, run: Path
) -> None:
    checkpoint_path(run, 2).write_bytes(b"damaged")
    with pytest.raises(BadParameter, match=r"begun with 123\.0, not 0\.5"):
        check_resumed(registry, spec_of())


def test_a_run_without_a_readable_checkpoint_is_refused(
    registry: Registry, spec_of: SpecOf, run: Path
) -> None:
    for step in (1, 2):
        checkpoint_path(run, step).write_bytes(b"damaged")
    with pytest.raises(BadInput, match=r"step-00000002.*is not a training checkpoint"):
        check_resumed(registry, spec_of())


@pytest.mark.usefixtures("run")
def test_a_task_that_fails_is_blamed(registry: Registry, spec_of: SpecOf) -> None:
    with pytest.raises(PluginError, match=r"fit.*no such rate"):
        check_resumed(registry, spec_of(rate=10))


def test_a_run_is_seeded_by_the_name_of_its_task() -> None:
    """Which is what the seed of the check is taken from."""
    from farm.planning.plan import plan_run

    (unit,) = plan_run("job", "fit", ("data.txt",), "run/line.txt", 1)
    assert isinstance(unit, Unit)
    assert unit.name == "fit"
