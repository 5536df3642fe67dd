"""DeepDream and related effects: amplify what a network sees in a picture."""

from collections.abc import Iterator

from farm import Task, hookimpl
from farm_dream.task import Dream
from farm_dream.zoom import Zoom


@hookimpl
def farm_tasks() -> Iterator[type[Task]]:
    yield Dream
    yield Zoom
