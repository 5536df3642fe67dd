"""The log and checkpoints in the folder of a run; only the first worker writes them."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from farm.engine.training.checkpoint import TrainState
from farm.engine.training.contract import Observation, Picture, TrainingOptions
from farm.engine.training.runs import (
    CHECKPOINTS,
    LOG,
    SKIPPED,
    checkpoint_path,
    checkpoints,
    skipped_pictures,
)
from farm.engine.world import World
from farm.errors import BadInput, StorageFailed, UserError
from farm.storage import open_whole, remove_file, remove_leftovers, write_error


class RunLog:
    """Logs the steps of a run, and saves and loads its checkpoints."""

    def __init__(self, options: TrainingOptions, world: World) -> None:
        self._options, self._world = options, world
        self._writes = world.rank == 0
        self._folder = options.folder / CHECKPOINTS
        self._log = options.folder / LOG
        self._warned = ""
        self.fallback = ""
        """Which damaged checkpoint the run did not resume from, if there was one."""
        self.decision = ""
        """What the supervisor decided, for the next line."""

    def __enter__(self) -> None:
        self._open()

    def __exit__(self, *_: object) -> None:
        self._close()

    def _open(self) -> None:
        if self._writes:
            with write_errors(self._log):
                self._file = self._log.open("a")

    def _close(self) -> None:
        if self._writes:
            with write_errors(self._log):  # closing writes again what could not be written
                self._file.close()

    # Resuming

    def resume(self, state: TrainState) -> None:
        """Load the newest valid checkpoint, and remove later lines from the log.

        Every worker loads the one that the first worker chooses; only the first one reads the folder.
        Raises BadInput if there are checkpoints but none can be loaded.
        """
        name = self._load_newest(state) if self._world.rank == 0 else ""
        self._load_on_all(state, name)
        if self._writes:
            with write_errors(self._folder):
                self._folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(self._folder)
            self._shorten(state.step)

    def go_back(self, state: TrainState, step: int) -> None:
        """Load the checkpoint of an earlier step, and remove later lines from the log.

        Checkpoints of later steps stay until the next one is written.
        """
        path = checkpoint_path(self._options.folder, step)
        if self._world.rank == 0:
            state.load(path)
        self._load_on_all(state, path.name)
        if self._writes:
            self._close()
            self._shorten(step)
            self._open()

    def _load_newest(self, state: TrainState) -> str:
        """Load the newest valid checkpoint; return its name, empty if there are no checkpoints."""
        errors: list[BadInput] = []
        for path in reversed(checkpoints(self._options.folder).values()):
            try:
                state.load(path)
            except BadInput as error:
                errors.append(error)
            else:
                if errors:
                    refused = Path(errors[0].source).name
                    self.fallback = (
                        f"checkpoint {refused} {errors[0].reason.partition(';')[0]}; "
                        f"resumed from step {state.step}"
                    )
                return path.name
        if errors:
            raise errors[0]
        return ""

    def _load_on_all(self, state: TrainState, name: str) -> None:
        """Load on every worker what the first worker has loaded, and sends to the others."""
        name, digest = json.loads(self._world.broadcast_text(json.dumps((name, state.digest()))))
        if name and self._world.size > 1:
            with TemporaryDirectory(prefix="farm-") as folder:
                received = Path(folder, name)
                self._world.copy_file(self._folder / name, received)
                if self._world.rank != 0:
                    self._load_received(state, received)
        if state.digest() != digest:
            raise UserError(
                f"{self._worker} starts from another state than worker 1; a run must draw its first "
                "weights from the seed alone"
            )

    def _load_received(self, state: TrainState, path: Path) -> None:
        """Load the first worker's checkpoint. Raises StorageFailed if it does not fit here."""
        try:
            state.load(path)
        except BadInput as error:
            raise StorageFailed(
                path.name,
                f"worker 1 resumes from it, but {self._worker} finds that it {error.reason}",
            ) from error

    @property
    def _worker(self) -> str:
        return f"worker {self._world.rank + 1} of {self._world.size}"

    def _shorten(self, step: int) -> None:
        """Remove the lines of later steps from the log, and one that was cut short."""
        lines = self._log.read_text().splitlines() if self._log.is_file() else []
        kept = [line for line in lines if _step_of(line) <= step]
        self._warned = _last_warning(kept)
        write_whole(self._log, "".join(f"{line}\n" for line in kept).encode())

    # Writing

    def write(self, step: int, figures: Mapping[str, float], warning: str) -> None:
        """Append a step to the log and flush it."""
        if not self._writes:
            return
        line: dict[str, Any] = {"step": step, **figures}
        if warning != self._warned:
            line["warning"] = warning
        self._warned = warning
        if self.decision:
            line["decision"], self.decision = self.decision, ""
        with write_errors(self._log):
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()

    def list_skipped(self, found: Mapping[str, str]) -> None:
        """Add pictures to the list of those that could not be read. found: why, by name."""
        if not self._writes:
            return
        listed = skipped_pictures(self._options.folder)
        if found.keys() - listed:
            content = json.dumps({**found, **listed}, indent=1, sort_keys=True, ensure_ascii=False)
            write_whole(self._options.folder / SKIPPED, f"{content}\n".encode("utf-8", "replace"))

    def save(self, state: TrainState, observation: Observation, keep: int | None) -> None:
        """Write a checkpoint and its pictures; remove the oldest ones, and those of later steps.

        keep: the step of a checkpoint that stays, however old it is. Later steps have checkpoints
        if the run went back, or if they are damaged.
        """
        if not self._writes:
            return
        path = checkpoint_path(self._options.folder, state.step)
        for name, picture in observation.pictures.items():
            write_picture(path.with_suffix(f".{name}.png"), picture)
        state.save(path)
        self._forget_later(path)
        for step, old in list(checkpoints(self._options.folder).items())[: -self._options.kept]:
            if step != keep:
                remove_file(old)

    def _forget_later(self, checkpoint: Path) -> None:
        """Remove the checkpoints of later steps, with their pictures."""
        own = checkpoint.name.partition(".")[0]
        for path in self._folder.glob("step-*"):
            if path.name.partition(".")[0] > own:
                remove_file(path)


@contextmanager
def write_errors(path: Path) -> Iterator[None]:
    """Turn errors of the system while a path is written into farm errors."""
    try:
        yield
    except OSError as error:
        raise write_error(str(path), error) from error


def write_whole(path: Path, content: bytes) -> None:
    """Write a file atomically."""
    with open_whole(path) as file:
        file.write(content)


def write_picture(path: Path, picture: Picture) -> None:
    """Write RGB in 0..1 as a PNG, atomically."""
    values = picture[0].detach().float().clamp(0, 1).mul(255).round().byte()
    with open_whole(path) as file:
        Image.fromarray(values.permute(1, 2, 0).cpu().numpy()).save(file, "png")


def _last_warning(lines: Sequence[str]) -> str:
    """Return the warning that holds after these lines of a log."""
    changes = (json.loads(line).get("warning") for line in reversed(lines))
    return next((warning for warning in changes if warning is not None), "")


def _step_of(line: str) -> float:
    """Return a log line's step; infinity for a line that was cut short when a process died."""
    try:
        return float(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
