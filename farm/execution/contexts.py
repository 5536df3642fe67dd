"""Creates the contexts that tasks receive: for a frame, for a run, and for checking a spec."""

import gc
import sys
from collections.abc import Callable, Mapping
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from farm.execution.failures import storage_errors
from farm.execution.runner import IsCancelled, ReportProgress
from farm.host.registry import Registry
from farm.model.job import JobSpec, Plan
from farm.model.specs import Part, PictureSet, Previous
from farm.settings import available_cores
from farm.storage import FileDigests, KnownFiles

if TYPE_CHECKING:
    import numpy as np

    from farm.engine.context import FrameContext
    from farm.engine.training.contract import TrainingOptions, Watcher
    from farm.engine.world import World


class ContextFactory:
    """Creates contexts on one device, which share its networks. digests: of files that they read."""

    def __init__(self, registry: Registry, device: str, digests: FileDigests | None = None) -> None:
        import_engine()
        from farm.engine.networks import NetworkCache

        self.device = device
        self._networks = NetworkCache(registry.network, device)
        self._digests = digests or FileDigests()

    def known_files(self, expected: Mapping[str, str]) -> KnownFiles:
        """Return the files of an order. expected: their digests."""
        return KnownFiles(expected, self._digests)

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
        files: KnownFiles | None = None,
        world: "World | None" = None,
        follow: "Callable[[TrainingOptions], Watcher] | None" = None,
    ) -> "FrameContext":
        """Return a context.

        frame: tells its seed from those of others; empty for the plan's own. files: of the order. world: the workers that
        share the unit; None if there are no others. follow: returns what follows a run.
        """
        from farm.engine.context import FrameContext
        from farm.engine.world import ALONE

        files, skipped = files or self.known_files({}), dict[str, str]()
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
            read=_make_read(files),
            pictures=_make_pictures(files, skipped),
            skipped=skipped,
            world=world or ALONE,
            files=files,
            follow=follow,
        )


def import_engine() -> None:
    """Import the engine while the garbage collector pauses, and exempt what is there from it.

    Importing torch makes hundreds of thousands of objects that live as long as the process. The
    collector would walk them again and again while they are made, and once more at the end.
    """
    if "farm.engine.context" in sys.modules:
        return
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        import_module("farm.engine.context")
    finally:
        gc.freeze()
        if was_enabled:
            gc.enable()


def check_context(registry: Registry, spec: JobSpec) -> "FrameContext":
    """Return the context in which a task checks a spec, on the CPU of this process."""
    contexts = ContextFactory(registry, "cpu")
    return contexts.make(spec.plan, "check", lambda *_: None, lambda: False)


def command_context(registry: Registry) -> "FrameContext":
    """Return the context of a command that computes in this process, on its first device."""
    from farm.engine.device import pick_device, set_up

    device = pick_device()
    set_up(device, available_cores())
    contexts = ContextFactory(registry, device)
    return contexts.make(Plan(), "command", lambda *_: None, lambda: False)


def _make_read(files: KnownFiles) -> "Callable[[str], np.ndarray]":
    """Return a function that reads another picture, such as a guide: [height, width, 3] in 0..1."""
    from farm.media import read_still
    from farm.media.blank import is_blank

    def read(source: str) -> "np.ndarray":
        with storage_errors(source):
            if is_blank(source):
                return read_still(source).pixels
            return files.read(source, lambda: read_still(source).pixels)[0]

    return read


def _make_pictures(files: KnownFiles, skipped: dict[str, str]) -> Callable[[str, Part], PictureSet]:
    """Return a function that opens a part of a set of pictures, once, for Context.pictures.

    skipped: as of open_pictures.
    """

    @cache
    def pictures(source: str, part: Part) -> PictureSet:
        from farm.media.dataset import open_pictures

        with storage_errors(source):
            return open_pictures(source, part, files, skipped)

    return pictures
