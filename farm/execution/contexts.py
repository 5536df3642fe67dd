"""Creates the contexts that tasks receive: for a frame, for a run, and for checking a spec."""

from typing import TYPE_CHECKING

from farm.execution.failures import storage_errors
from farm.execution.runner import IsCancelled, ReportProgress
from farm.host.registry import Registry
from farm.model.job import JobSpec, Plan
from farm.model.specs import Previous

if TYPE_CHECKING:
    import numpy as np

    from farm.engine.context import FrameContext
    from farm.engine.world import World


class ContextFactory:
    """Creates contexts on one device, which share its networks.

    world: the workers that share each unit; None if this worker has units of its own.
    """

    def __init__(self, registry: Registry, device: str, world: "World | None" = None) -> None:
        from farm.engine.networks import NetworkCache
        from farm.engine.world import World

        self.device, self.world = device, world or World()
        self._networks = NetworkCache(registry.network, device)

    def make(
        self,
        plan: Plan,
        frame: str,
        report: ReportProgress,
        is_cancelled: IsCancelled,
        *,
        number: int = 0,
        seconds: float = 0.0,
        previous: Previous | None = None,
    ) -> "FrameContext":
        """Return a context. frame: the name that the seed is derived from."""
        from farm.engine.context import FrameContext

        return FrameContext(
            device=self.device,
            plan=plan,
            networks=self._networks,
            frame=frame,
            number=number,
            seconds=seconds,
            previous=previous,
            report=report,
            is_cancelled=is_cancelled,
            read=_read_pixels,
            world=self.world,
        )


def check_context(registry: Registry, spec: JobSpec) -> "FrameContext":
    """Return the context in which a task checks a spec, on the CPU of this process."""
    contexts = ContextFactory(registry, "cpu")
    return contexts.make(spec.plan, "check", lambda *_: None, lambda: False)


def _read_pixels(source: str) -> "np.ndarray":
    """Return another picture, such as a guide, as [height, width, 3] in 0..1."""
    from farm.media import read_still

    with storage_errors(source):
        return read_still(source).pixels
