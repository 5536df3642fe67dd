"""A task checks a spec before anything is rendered: as often as parameters that change require."""

from functools import partial
from pathlib import Path

from farm.execution.contexts import check_context
from farm.model.job import JobSpec
from farm.planning.checking import task_check

from ..workbench import registry_of  # noqa: TID252 - shared between rooms

MIX = '''
from farm import Effect, Field, OverTime, TimedParams, hookimpl

class Mix(Effect):
    """Mix colours."""
    name = "mix"
    class Params(TimedParams):
        colours: OverTime[tuple[str, ...]] = Field(
            ("red",), description="Which.", json_schema_extra={"cli": "--colour"}
        )
    checks = 0
    def check(self, context):
        Mix.checks += 1
    def notes(self, context):
        return [f"{Mix.checks} checks"]
    def render(self, image, context):
        return image.clone()

@hookimpl
def farm_tasks():
    return [Mix]
'''


def test_a_task_checks_each_set_of_names_once(tmp_path: Path) -> None:
    registry = registry_of(MIX, tmp_path)
    at = [f"{time} colour={'blue' if time % 2 else 'red'}" for time in range(100)]
    spec = JobSpec(task="mix", params={"at": at}, inputs=("a.mp4",), output="b.mp4")
    check = task_check(registry, partial(check_context, registry))
    assert check(spec) == ("3 checks",)


COUNT = '''
from farm import Run, TaskParams, hookimpl

class Count(Run):
    """Count inputs."""
    name, result = "count", "count.txt"
    def notes_on_inputs(self, inputs, context):
        return [f"{len(inputs)} inputs"]
    def train(self, inputs, folder, context):
        raise NotImplementedError

@hookimpl
def farm_tasks():
    return [Count]
'''


def test_a_run_says_what_the_user_should_know_of_its_inputs(tmp_path: Path) -> None:
    registry = registry_of(COUNT, tmp_path)
    check = task_check(registry, partial(check_context, registry))
    assert check(JobSpec(task="count", inputs=("a", "b"), output="run")) == ("2 inputs",)
