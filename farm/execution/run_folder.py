"""The folder in which a run trains: on a disk of this machine, even if its own is at a URL."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from farm.storage import Mirror, is_remote, make_folder, name, scratch_folder

if TYPE_CHECKING:
    from farm.engine.training.checkpoint import TrainState
    from farm.engine.training.contract import (
        Observation,
        StepRecord,
        TrainingOptions,
        Watcher,
    )

__all__ = ["RunFolder", "open_run_folder"]

_FACTS, _REST, _CHECKPOINT, _RESULT = range(4)
"""Order of writing: what is there always has what it depends on, however a run ends."""

_TENSORS: Final = ".safetensors"


class RunFolder:
    """The folder of a run on this machine.

    push: writes to the run's own folder what has changed here; raises BadOutput, OutputReplaced,
    StorageUnavailable and StorageFailed. It does nothing where this is the run's own folder.
    """

    def __init__(self, path: Path, push: Callable[[], None] = lambda: None) -> None:
        self.path, self.push = path, push

    def follow(self, options: "TrainingOptions") -> "Watcher":
        """Return what writes the reports of the run, and pushes them with each checkpoint."""
        from farm.execution.run_report import RunReport

        return _Pushing(RunReport(options), self.push)


@contextmanager
def open_run_folder(location: str, result: str, rank: int) -> Iterator[RunFolder]:
    """Yield the folder in which a worker trains.

    location: path or URL of the run's folder. result: name of the file that the run leaves there.
    rank: of the worker. Of a run at a URL, the first worker has a copy, and the others have an
    empty folder. Raises BadOutput, BadInput, InputChanged and StorageFailed.
    """
    if not is_remote(location):
        make_folder(location)
        yield RunFolder(Path(location))
        return
    with scratch_folder(name(location)) as folder:
        if rank != 0:
            yield RunFolder(folder)
            return
        mirror = Mirror(location, folder)
        mirror.pull()
        yield RunFolder(folder, lambda: mirror.push(lambda file: _order(file, result)))


def _order(file: str, result: str) -> int:
    """Return when to write a file. file: relative to the run's folder."""
    from farm.engine.training.runs import CHECKPOINTS, FACTS

    if file in {FACTS, result}:
        return _FACTS if file == FACTS else _RESULT
    is_checkpoint = file.startswith(f"{CHECKPOINTS}/") and file.endswith(_TENSORS)
    return _CHECKPOINT if is_checkpoint else _REST


class _Pushing:
    """A watcher whose work is pushed; implements Watcher."""

    def __init__(self, watcher: "Watcher", push: Callable[[], None]) -> None:
        self._watcher, self._push = watcher, push

    def on_step(self, record: "StepRecord") -> None:
        self._watcher.on_step(record)

    def on_checkpoint(self, state: "TrainState", observation: "Observation") -> None:
        self._watcher.on_checkpoint(state, observation)
        self._push()

    def on_stop(self, state: "TrainState") -> None:
        self._watcher.on_stop(state)
        self._push()

    def on_end(self, state: "TrainState") -> None:
        self._watcher.on_end(state)
        self._push()
