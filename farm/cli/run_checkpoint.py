"""The argument RUN[@STEP] of commands that draw from a run, and what they record about it."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from farm import storage
from farm.app import TrainedRun, open_run
from farm.engine.training.runs import (
    CHECKPOINTS,
    find_checkpoint,
    located_checkpoints,
    read_run,
)
from farm.errors import BadInput
from farm.host.registry import Registry
from farm.planning.outputs import Inputs
from farm.storage import sha256_file

if TYPE_CHECKING:
    from farm.model.specs import Sampler

_WITH_STEP: Final = re.compile(r"(?P<run>.+)@(?P<step>[0-9]{1,18})", re.DOTALL)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint of a run. folder: path or URL of the run. path: of the file, or of a copy of it."""

    folder: str
    path: Path
    run: TrainedRun

    @property
    def step(self) -> int:
        """Steps done."""
        return int(self.path.stem.removeprefix("step-"))

    @property
    def run_name(self) -> str:
        """The name of the run's folder."""
        return storage.name(storage.absolute(self.folder))

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the file. Raises BadInput."""
        try:
            return sha256_file(self.path)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise BadInput(str(self.path), f"the checkpoint cannot be read: {reason}") from error

    def check_output(self, target: str) -> None:
        """Raise BadOutput for a path among the run's checkpoints."""
        Inputs([storage.join(self.folder, CHECKPOINTS)]).check([target])

    def sampler(self) -> "Sampler":
        """Return what draws pictures from it."""
        return self.run.sampler(self.path)

    def record(self, seed: int, **drawn: object) -> dict[str, Any]:
        """Return the record of an output. drawn: what was drawn, such as the number of pictures."""
        import farm
        from farm.engine.rendered import device_kind, torch_version

        return {
            "task": self.run.task.name,
            "run": self.run_name,
            "step": self.step,
            "checkpoint": {"name": self.path.name, "sha256": self.sha256},
            "seed": seed,
            "drawn": drawn,
            "device": device_kind(str(self.run.context.device)),
            "versions": {"farm": farm.__version__, "torch": torch_version()},
        }


def find_one(registry: Registry, argument: str) -> Checkpoint:
    """Return the checkpoint for RUN@STEP, or the newest of RUN. Raises UserError."""
    folder, step = split(argument)
    facts = read_run(folder)
    path = find_checkpoint(folder, step)
    return Checkpoint(folder, path, open_run(registry, facts.task, facts.params))


def find_all(registry: Registry, argument: str) -> list[Checkpoint]:
    """Return all checkpoints of RUN, oldest first. Raises UserError."""
    newest = find_one(registry, argument)
    return [
        Checkpoint(newest.folder, find_checkpoint(newest.folder, step), newest.run)
        for step in located_checkpoints(newest.folder)
    ]


def split(argument: str) -> tuple[str, int | None]:
    """Return folder and step of RUN[@STEP]. A folder whose own name ends like that is a run."""
    match = _WITH_STEP.fullmatch(argument)
    if match is None or storage.is_folder(argument):
        return argument, None
    return match["run"], int(match["step"])
