"""The contexts that tasks are given: for a frame, for a run, and for checking a spec."""

from typing import TYPE_CHECKING

from farm.execution.failures import storage_errors
from farm.host.registry import Registry
from farm.model.job import JobSpec

if TYPE_CHECKING:
    import numpy as np

    from farm.engine.context import FrameContext


def check_context(registry: Registry, spec: JobSpec) -> "FrameContext":
    """Return the context in which a task checks a spec, on the CPU of this process."""
    from farm.engine.context import FrameContext
    from farm.engine.networks import NetworkCache

    return FrameContext(
        device="cpu",
        plan=spec.plan,
        networks=NetworkCache(registry.network, "cpu"),
        frame="check",
        report=lambda _done, _note, _tiles: None,
        is_cancelled=lambda: False,
        read=read_pixels,
    )


def read_pixels(source: str) -> "np.ndarray":
    """Return a further picture (guide, mask, style) as [height, width, 3] in 0..1."""
    from farm.media import read_still

    with storage_errors(source):
        return read_still(source).pixels
