"""How and where a job runs. Nothing here affects its output."""

from dataclasses import dataclass
from pathlib import Path

from farm.host.executor import ExecutorOptions


@dataclass(frozen=True)
class Running:
    """The options of a task's command that are not part of the job."""

    workers: int | None = None
    address: str | None = None
    is_resumed: bool = False
    is_json: bool = False
    metrics_port: int | None = None
    live_port: int | None = None
    plugins_dir: Path | None = None

    @property
    def is_pooled(self) -> bool:
        """Whether the job runs on a pool instead of in this process."""
        return self.workers is not None or self.address is not None

    def pool(self, threads: int) -> ExecutorOptions | None:
        """Return the pool's options, or None to run in this process. threads: per worker."""
        if not self.is_pooled:
            return None
        return ExecutorOptions(self.workers, threads, self.address, self.plugins_dir)
