"""Decides which jobs have a single unit that all workers share."""

from farm.errors import FarmError
from farm.host.task import Effect, Run, Task
from farm.media import is_film, is_sequence, still_size
from farm.model.job import JobSpec
from farm.planning.inputs import list_inputs
from farm.planning.outputs import is_film_target


def is_shared_by_all_workers(task: type[Task], spec: JobSpec) -> bool:
    """Return whether a job is a run, or a single still larger than a tile.

    An input that cannot be read counts as not shared; planning reports it.
    """
    if issubclass(task, Run):
        return True
    is_moving = is_film_target(spec.output) or is_sequence(spec.output)
    if is_moving or not spec.plan.tile or (issubclass(task, Effect) and task.is_endless):
        return False
    try:
        sources = list_inputs(spec.inputs)
        is_single_still = len(sources) == 1 and not is_film(sources[0].url)
        return is_single_still and max(still_size(sources[0].url)) > spec.plan.tile
    except FarmError:
        return False
