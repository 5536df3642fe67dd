"""Neural style: render the content of one picture in the style of another."""

from collections.abc import Iterator

from farm import Task, hookimpl
from farm_style.task import Style
from farm_style.train import TrainStyle


@hookimpl
def farm_tasks() -> Iterator[type[Task]]:
    yield Style
    yield TrainStyle
