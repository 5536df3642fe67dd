"""Neural style: a photograph's content, painted as another picture is."""

from collections.abc import Iterator

from farm import Task, hookimpl
from farm_style.task import Style
from farm_style.train import TrainStyle


@hookimpl
def farm_tasks() -> Iterator[type[Task]]:
    yield Style
    yield TrainStyle
