"""Carries out an order to render: reads the frame, calls the effect, checks and writes the result."""

from dataclasses import replace
from typing import TYPE_CHECKING

from farm import storage
from farm.errors import BadInput, Cancelled, PluginError
from farm.execution.aim import Aim
from farm.execution.contexts import ContextFactory
from farm.execution.failures import output_errors, plugin_errors, result_errors, storage_errors
from farm.execution.frame_source import FrameSource
from farm.execution.provenance import named_params, provenance
from farm.execution.runner import IsCancelled, ReportProgress
from farm.execution.timing import timed
from farm.host.schedule import Schedule
from farm.host.task import Effect, Task
from farm.model.job import Plan
from farm.model.messages import Figures, Order
from farm.model.picture_size import sized
from farm.model.specs import Previous
from farm.model.work import Render
from farm.storage import KnownFiles, size_of

if TYPE_CHECKING:
    import numpy as np

    from farm.engine.context import FrameContext
    from farm.engine.world import World
    from farm.execution.coherence import FrameBefore
    from farm.media import Frame


class Renderer:
    """Renders frames on one device. Keeps films open between frames."""

    def __init__(self, contexts: ContextFactory) -> None:
        self._contexts, self._device = contexts, contexts.device
        self._source = FrameSource()

    def close(self) -> None:
        """Close open films."""
        self._source.close()

    def run(
        self,
        order: Order,
        work: Render,
        task: Task,
        params: dict[str, object],
        *,
        report: ReportProgress,
        is_cancelled: IsCancelled,
        world: "World | None" = None,
    ) -> Figures:
        """Render the order's frame and write it, whole or not at all. Raises FarmError only.

        params: of the task, with defaults. world: the workers that render it together, of which the
        first writes; None for this one.
        """
        if not isinstance(task, Effect):
            raise PluginError(order.task, "is not an Effect and cannot render a frame")
        if work.refusal:
            raise BadInput(order.unit.source, work.refusal)
        seconds: dict[str, float] = {}
        with timed(seconds, "load"), storage_errors(order.unit.source):
            files = self._contexts.known_files(order.files)
            frame, digest = self._source.read(order.unit.source, work.moment, files)
            if not order.unit.needs or work.before:  # else it continues a frame that has its size
                frame = _at_size(frame, work, order.plan)
            before = self._before(order, work, frame, files)
            previous = before.previous(self._device, order.plan) if before else None
            later, later_digest = self._later(order, work, task, files)
        context = self._make_context(
            order, work, previous, files, report=report, is_cancelled=is_cancelled, world=world
        )
        with timed(seconds, "compute"), plugin_errors(order.task, self._device):
            aim = self._aim(order, work, task, later, context, before=before)
            rendered = self._render(order, task, frame, context, before)
            named = named_params(task, params, context)
        if is_cancelled():
            raise Cancelled
        if context.world.rank != 0:
            return Figures()
        rendered = replace(rendered, depth=work.depth or rendered.depth)
        record = provenance(order, named, context, digest, rendered)
        record |= aim.in_record() if aim else {}
        with timed(seconds, "write"), output_errors(order.unit.target):
            target_sha256 = _write(order, rendered, record)
        pixels, stays = (
            rendered.pixels.shape[0] * rendered.pixels.shape[1],
            not order.unit.is_working,
        )
        return Figures(
            seconds=seconds,
            pixels=pixels,
            overlap_pixels=context.overlap_pixels,
            tiles=context.tiles,
            source_sha256=digest,
            target_sha256=target_sha256,
            ahead_sha256=later_digest,
            target_bytes=size_of(order.unit.target) if stays else 0,
            target_pixels=pixels if stays else 0,
        )

    def _make_context(
        self,
        order: Order,
        work: Render,
        previous: Previous | None,
        files: KnownFiles,
        *,
        report: ReportProgress,
        is_cancelled: IsCancelled,
        world: "World | None",
    ) -> "FrameContext":
        return self._contexts.make(
            order.plan,
            work.seed,
            report,
            is_cancelled,
            number=work.number,
            seconds=work.seconds,
            previous=previous,
            files=files,
            world=world,
        )

    def _before(
        self, order: Order, work: Render, frame: "Frame", files: KnownFiles
    ) -> "FrameBefore | None":
        """Return the frame that this one continues; None if there is none, or it failed."""
        if work.before is None or order.missing:
            return None
        from farm.execution.coherence import FrameBefore
        from farm.media import read_record, read_still

        source, _ = self._source.read(work.before.source, work.before.moment, files)
        source = _at_size(source, work, order.plan)
        return FrameBefore(
            source.pixels,
            read_still(work.before.target).pixels,
            frame.pixels,
            has_flow=order.film.coherence == "flow",
            aim=Aim.of_record(read_record(work.before.target)),
        )

    def _later(
        self, order: Order, work: Render, effect: Effect, files: KnownFiles
    ) -> "tuple[Frame | None, str | None]":
        """Return the frame that tells how strong those up to it are, and the digest of its file, if one does.

        A file that cannot be read has a digest and no frame; the unit of that frame fails with it.
        """
        is_held = effect.continues_previous and effect.keeps_strength
        if not is_held or order.film.coherence != "flow" or not (work.ahead and work.ahead.source):
            return None, None
        source = work.ahead.source
        with storage_errors(source):
            try:
                frame, digest = self._source.read(source, work.ahead.moment, files)
            except BadInput:
                return None, files.digest(source) if storage.is_file(source) else ""
        return _at_size(frame, work, order.plan), digest

    def _aim(
        self,
        order: Order,
        work: Render,
        effect: Effect,
        later: "Frame | None",
        context: "FrameContext",
        *,
        before: "FrameBefore | None",
    ) -> Aim | None:
        """Return the strength that the frames after this one go towards; None if they keep that of this one."""
        from farm.media.strength import strength_of

        if work.ahead is None or later is None:
            return before.aim.rest if before and before.aim else None
        with context.afresh(work.ahead.number, work.ahead.seconds, work.ahead.seed):
            alone = self._pixels(order, _at_time(effect, context), later, context)
        return Aim(strength_of(alone, later.pixels), work.ahead.frames)

    def _render(
        self,
        order: Order,
        effect: Effect,
        frame: "Frame",
        context: "FrameContext",
        before: "FrameBefore | None",
    ) -> "Frame":
        effect = _at_time(effect, context)
        pixels = self._pixels(order, effect, frame, context)
        if before:
            pixels = before.lead_to(pixels, effect)
        return replace(frame, pixels=pixels, alpha=_fit_alpha(frame.alpha, *pixels.shape[:2]))

    def _pixels(
        self, order: Order, effect: Effect, frame: "Frame", context: "FrameContext"
    ) -> "np.ndarray":
        """Call the effect, and return what it renders."""
        from farm.engine.context import to_array, to_tensor
        from farm.engine.rendered import Unchanged, check_rendered

        image = to_tensor(frame.pixels, self._device, order.plan)
        unchanged = Unchanged(image)
        result = effect.render(image, context)
        with result_errors(effect):
            unchanged.check(order.task)
            return to_array(check_rendered(order.task, result))


def _at_time(effect: Effect, context: "FrameContext") -> Effect:
    """Return the effect with the parameters that it has at the frame's time."""
    schedule = Schedule.of(effect.params)
    return type(effect)(schedule.at(context.seconds, context.number)) if schedule else effect


def _at_size(frame: "Frame", work: Render, plan: Plan) -> "Frame":
    from farm.media.resample import resample

    height, width = frame.pixels.shape[:2]
    return resample(frame, *(work.shape or sized(plan.size, height, width)))


def _write(order: Order, frame: "Frame", record: dict[str, object]) -> str:
    from farm.media import write_still, write_working

    write = write_working if order.unit.is_working else write_still
    return write(order.unit.target, frame, record)


def _fit_alpha(alpha: "np.ndarray | None", height: int, width: int) -> "np.ndarray | None":
    """Return the alpha channel at the size of the rendered picture, which may differ."""
    if alpha is None or alpha.shape == (height, width):
        return alpha
    import numpy as np
    from PIL import Image

    resized = Image.fromarray(alpha).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32).clip(0, 1)
