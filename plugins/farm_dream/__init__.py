"""DeepDream and its relatives: pictures that show a network what it likes to see."""

from collections.abc import Iterator

from farm import Task, hookimpl
from farm_dream.task import Dream
from farm_dream.zoom import Zoom


@hookimpl
def farm_tasks() -> Iterator[type[Task]]:
    yield Dream
    yield Zoom
