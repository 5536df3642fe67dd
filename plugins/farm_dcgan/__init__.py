"""DCGAN: train a generator on a set of pictures, and draw new ones with it."""

from collections.abc import Iterator

from farm import Task, hookimpl
from farm_dcgan.task import Dcgan


@hookimpl
def farm_tasks() -> Iterator[type[Task]]:
    yield Dcgan
