"""One order from file to file: read, compute, check, write.

Knows nothing of schedules, processes or clusters. Used by one thread at a time.
"""

import json
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final, Protocol

from farm.errors import Cancelled, PluginError, UserError
from farm.execution.contexts import read_pixels
from farm.execution.failures import classify, plugin_errors, storage_errors
from farm.execution.finishing import Finisher
from farm.execution.frame_source import FrameSource
from farm.execution.timing import timed
from farm.host.registry import Registry
from farm.host.task import Effect, Run, Task
from farm.host.vetting import validate_params
from farm.model.messages import Figures, Order, UnitCancelled, UnitFailed, UnitSucceeded
from farm.model.specs import Previous
from farm.model.work import Before, Render, Train

if TYPE_CHECKING:
    import numpy as np

    from farm.engine.context import FrameContext
    from farm.engine.world import World
    from farm.media import Frame

__all__ = ["ReportProgress", "Runner", "Worker", "attempt"]

ReportProgress = Callable[[float, str, int], None]
"""Hears the fraction done (0..1) of the frame, a note, and the tile passes so far."""

_KEPT_TASKS: Final = 8
_MIXED_IN: Final = 0.7
"""Share of the frame before in a coherent film, for effects that do not go on by themselves."""


class Runner(Protocol):
    """Whoever runs orders."""

    def run(
        self, order: Order, report: ReportProgress, is_cancelled: Callable[[], bool]
    ) -> Figures:
        """Do what the order's unit asks. Raises FarmError and nothing else."""

    def close(self) -> None:
        """Let go of open files."""


class Worker:
    """Runs orders on one device, keeping tasks and networks warm between them.

    device: None for the best there is. threads: those of every plan it is given. world: the
    workers that run the same orders at the same time, None for no other; only the first writes.
    """

    def __init__(
        self,
        registry: Registry,
        device: str | None,
        threads: int,
        world: "World | None" = None,
    ) -> None:
        from farm.engine.device import pick_device
        from farm.engine.networks import NetworkCache
        from farm.engine.world import ALONE

        self.device = device or pick_device()
        self._registry, self._threads, self._world = registry, threads, world or ALONE
        self._networks = NetworkCache(registry.network, self.device)
        self._task = lru_cache(_KEPT_TASKS)(self._make_task)
        self._sources, self._finisher = FrameSource(), Finisher()

    def close(self) -> None:
        self._sources.close()

    def run(
        self, order: Order, report: ReportProgress, is_cancelled: Callable[[], bool]
    ) -> Figures:
        """Render the order's frame and write it, whole or not at all.

        Raises FarmError and nothing else; Cancelled where is_cancelled said so in time.
        """
        match order.unit.work:
            case Render() as work:
                return self._run_effect(order, work, report, is_cancelled)
            case Train() as work:
                return self._run_training(order, work, report, is_cancelled)
            case _:
                return self._finisher.run(order, report, is_cancelled)

    def _run_training(
        self, order: Order, work: Train, report: ReportProgress, is_cancelled: Callable[[], bool]
    ) -> Figures:
        from farm.storage import output_path, sha256_file

        task, _ = self._made(order)
        target = output_path(order.unit.target)
        context = self._context(order, Render(), None, report, is_cancelled)
        seconds: dict[str, float] = {}
        with timed(seconds, "compute"), plugin_errors(order.task, self.device):
            if not isinstance(task, Run):
                raise PluginError(order.task, "is no Run, so it cannot train")
            target.parent.mkdir(parents=True, exist_ok=True)
            task.train(work.inputs, target.parent, context)
            if not self._writes:
                return Figures()
            if not target.is_file():
                raise PluginError(order.task, f"ended without leaving {target}")
        return Figures(seconds=seconds, target_sha256=sha256_file(target))

    @property
    def _writes(self) -> bool:
        return self._world.rank == 0

    def _made(self, order: Order) -> tuple[Task, dict[str, object]]:
        """Return the task with its full parameters, the device set up for it."""
        from farm.engine.device import set_up

        self._check_threads(order)
        set_up(self.device, self._threads)
        with plugin_errors(order.task, self.device):
            return self._task(order.task, json.dumps(order.params, sort_keys=True))

    def _run_effect(
        self, order: Order, work: Render, report: ReportProgress, is_cancelled: Callable[[], bool]
    ) -> Figures:
        effect, params = self._made(order)
        if not isinstance(effect, Effect):
            raise PluginError(order.task, "is no Effect, so it cannot render a frame")
        seconds: dict[str, float] = {}
        with timed(seconds, "load"), storage_errors(order.unit.source):
            frame, digest = self._sources.read(order.unit.source, work.moment)
            previous = self._previous(order, work.before, frame) if work.before else None
        context = self._context(order, work, previous, report, is_cancelled)
        with timed(seconds, "compute"), plugin_errors(order.task, self.device):
            rendered = self._render(order, effect, frame, context)
        if is_cancelled():
            raise Cancelled
        if not self._writes:
            return Figures()
        rendered = replace(rendered, depth=work.depth or rendered.depth)
        record = self._record(order, params, context, digest, rendered)
        with timed(seconds, "write"), storage_errors(order.unit.target):
            written = _write(order, rendered, record)
        return Figures(
            seconds=seconds,
            pixels=rendered.pixels.shape[0] * rendered.pixels.shape[1],
            overlap_pixels=context.overlap_pixels,
            tiles=context.tiles,
            source_sha256=digest,
            target_sha256=written,
        )

    def _check_threads(self, order: Order) -> None:
        """Refuse a plan for other threads: the output's bytes would not be the plan's."""
        if order.plan.threads != self._threads:
            raise UserError(
                f"the plan is for {order.plan.threads} threads a worker, this worker has "
                f"{self._threads}; give both the same --threads"
            )

    def _previous(self, order: Order, before: Before, frame: "Frame") -> Previous | None:
        """Return what the frame before became, moved along; None where it came to nothing."""
        if order.missing:
            return None
        from farm.engine.context import to_mask, to_tensor
        from farm.media import read_still
        from farm.media.flow import motion

        last, _ = self._sources.read(before.source, before.moment)
        moved = motion(last.pixels, frame.pixels)
        carried = moved.carry(read_still(before.target).pixels)
        return Previous(
            to_tensor(carried, self.device, order.plan),
            to_mask(moved.trust, self.device, order.plan),
        )

    def _context(
        self,
        order: Order,
        work: Render,
        previous: Previous | None,
        report: ReportProgress,
        is_cancelled: Callable[[], bool],
    ) -> "FrameContext":
        from farm.engine.context import FrameContext

        return FrameContext(
            device=self.device,
            plan=order.plan,
            networks=self._networks,
            frame=work.seed or order.unit.name,
            number=work.number,
            seconds=work.seconds,
            previous=previous,
            report=report,
            is_cancelled=is_cancelled,
            read=read_pixels,
            world=self._world,
        )

    def _render(
        self, order: Order, effect: Effect, frame: "Frame", context: "FrameContext"
    ) -> "Frame":
        from farm.engine.context import to_array, to_tensor
        from farm.engine.rendered import check_rendered, mix_in

        image = to_tensor(frame.pixels, self.device, order.plan)
        rendered = check_rendered(order.task, effect.render(image, context))
        if context.previous and not effect.continues_previous:
            rendered = mix_in(context.previous, rendered, _MIXED_IN)
        pixels = to_array(rendered)
        return replace(frame, pixels=pixels, alpha=_fit_alpha(frame.alpha, *pixels.shape[:2]))

    def _make_task(self, task: str, given: str) -> tuple[Task, dict[str, object]]:
        """Return the task and its full parameters, defaults included."""
        offered = self._registry.task(task)
        params = validate_params(offered, json.loads(given))
        return offered(params), params.model_dump(mode="json")

    def _record(
        self,
        order: Order,
        params: dict[str, object],
        context: "FrameContext",
        digest: str,
        frame: "Frame",
    ) -> dict[str, object]:
        """Return what the output says of its making: nothing that differs between runs."""
        import farm
        from farm.engine.rendered import device_kind, torch_version

        return {
            "task": order.task,
            "params": params,
            "plan": order.plan.model_dump(mode="json"),
            "source": {"name": order.unit.name, "sha256": digest},
            "seed": context.seed,
            "networks": dict(sorted(context.networks_used.items())),
            "device": device_kind(self.device),
            "versions": {"farm": farm.__version__, "torch": torch_version()},
            "alpha": frame.alpha is not None,
            "depth": frame.depth,
        }


def attempt(
    runner: Runner,
    name: str,
    order: Order,
    report: ReportProgress,
    is_cancelled: Callable[[], bool],
) -> UnitSucceeded | UnitFailed | UnitCancelled:
    """Run the order on the worker of this name and say how it ended. Raises nothing."""
    try:
        figures = runner.run(order, report, is_cancelled)
    except Cancelled:
        return UnitCancelled(name, order.token)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is reported
        return UnitFailed(name, order.token, classify(error))
    return UnitSucceeded(name, order.token, figures)


def _write(order: Order, frame: "Frame", record: dict[str, object]) -> str:
    from farm.media import write_still, write_working

    write = write_working if order.unit.is_working else write_still
    return write(order.unit.target, frame, record)


def _fit_alpha(alpha: "np.ndarray | None", height: int, width: int) -> "np.ndarray | None":
    """Return the alpha at the picture's size, which an effect may have changed."""
    if alpha is None or alpha.shape == (height, width):
        return alpha
    import numpy as np
    from PIL import Image

    resized = Image.fromarray(alpha).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32).clip(0, 1)
