"""Fine-tuning: train a network on categories of one's own, and use it for every effect."""

from collections.abc import Callable, Iterator

from farm import NetworkSpec, Task, hookimpl
from farm_finetune.task import Finetune
from farm_finetune.tuned import tuned_network


@hookimpl
def farm_tasks() -> Iterator[type[Task]]:
    yield Finetune


@hookimpl
def farm_network(name: str, find: Callable[[str], NetworkSpec]) -> NetworkSpec | None:
    return tuned_network(name, find)
