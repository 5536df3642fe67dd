"""How and where a job runs. Nothing here affects its output."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from farm.cli.text import one_word
from farm.host.executor import ExecutorOptions
from farm.model.unit import ALL_WORKERS


@dataclass(frozen=True)
class Running:
    """The options of a task's command that are not part of the job.

    shows_traceback: of each failure, once. command: the words the user typed.
    """

    workers: int | None = None
    address: str | None = None
    is_resumed: bool = False
    is_json: bool = False
    metrics_port: int | None = None
    live_port: int | None = None
    plugins_dir: Path | None = None
    shows_traceback: bool = False
    command: Sequence[str] = ()

    @property
    def is_pooled(self) -> bool:
        """Whether the job runs on a pool instead of in this process."""
        return self.workers is not None or self.address is not None

    @property
    def workers_per_unit(self) -> int:
        """Number of workers that share a unit which several can share: all those of the pool."""
        if not self.is_pooled:
            return 1
        return ALL_WORKERS if self.workers is None else self.workers

    def pool(self, threads: int) -> ExecutorOptions | None:
        """Return the pool's options, or None to run in this process. threads: per worker."""
        if not self.is_pooled:
            return None
        return ExecutorOptions(self.workers, threads, self.address, self.plugins_dir)

    @property
    def resume_command(self) -> str:
        """The command that continues the job, to be copied from a terminal."""
        words = [word for word in self.command if word != "--overwrite"]
        if "--resume" not in words:
            end = words.index("--") if "--" in words else len(words)
            words.insert(end, "--resume")
        return " ".join(map(one_word, words))
