"""One order from file to file: read, compute, check, write; and what an error means for it.

Knows nothing of schedules, processes or clusters. Used by one thread at a time.
"""

import json
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from time import perf_counter
from typing import TYPE_CHECKING, Final

from farm.errors import (
    Cancelled,
    DeviceMemory,
    FarmBug,
    FarmError,
    PluginError,
    StorageFailed,
    UserError,
    WorkerDied,
)
from farm.executor import (
    Failure,
    Figures,
    Order,
    Reason,
    UnitCancelled,
    UnitFailed,
    UnitSucceeded,
)
from farm.registry import Registry
from farm.task import Effect
from farm.vetting import validate_params

if TYPE_CHECKING:
    import numpy as np

    from farm.engine.context import FrameContext
    from farm.media import Frame

__all__ = ["Tell", "Worker", "attempt", "classify"]

Tell = Callable[[float, str, int], None]
"""Hears the fraction done (0..1) of the frame, a note, and the tile passes so far."""

_KEPT_TASKS: Final = 8
_TRACEBACK_CHARACTERS: Final = 4000
_NO_MEMORY: Final = ("out of memory", "can't allocate memory", "not enough memory")
"""How torch's allocators say it."""


class Worker:
    """Runs orders on one device, keeping tasks and networks warm between them.

    device: None for the best there is. threads: those of every plan it is given.
    """

    def __init__(self, registry: Registry, device: str | None, threads: int) -> None:
        from farm.engine.device import pick_device
        from farm.engine.networks import NetworkCache

        self.device = device or pick_device()
        self._registry, self._threads = registry, threads
        self._networks = NetworkCache(registry.networks, self.device)
        self._effect = lru_cache(_KEPT_TASKS)(self._make_effect)

    def run(self, order: Order, tell: Tell, is_cancelled: Callable[[], bool]) -> Figures:
        """Render the order's frame and write it, whole or not at all.

        Raises FarmError and nothing else; Cancelled where is_cancelled said so in time.
        """
        from farm.engine.device import set_up
        from farm.media import write_still

        self._check_threads(order)
        set_up(self.device, self._threads)
        with _plugin(order.task, self.device):
            effect, params = self._effect(order.task, json.dumps(order.params, sort_keys=True))
        context = self._context(order, tell, is_cancelled)
        seconds: dict[str, float] = {}
        with _timed(seconds, "load"), _storage(order.unit.source):
            frame, digest = _load(order.unit.source)
        with _timed(seconds, "compute"), _plugin(order.task, self.device):
            rendered = self._render(order, effect, frame, context)
        if is_cancelled():
            raise Cancelled
        record = self._record(order, params, context, digest, frame)
        with _timed(seconds, "write"), _storage(order.unit.target):
            written = write_still(order.unit.target, rendered, record)
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

    def _context(
        self, order: Order, tell: Tell, is_cancelled: Callable[[], bool]
    ) -> "FrameContext":
        from farm.engine.context import FrameContext

        return FrameContext(
            device=self.device,
            plan=order.plan,
            networks=self._networks,
            frame=order.unit.name,
            tell=tell,
            is_cancelled=is_cancelled,
            read=_read_pixels,
        )

    def _render(
        self, order: Order, effect: Effect, frame: "Frame", context: "FrameContext"
    ) -> "Frame":
        from farm.engine.context import to_array, to_tensor
        from farm.engine.rendered import check_rendered

        image = to_tensor(frame.pixels, self.device, order.plan)
        pixels = to_array(check_rendered(order.task, effect.render(image, context)))
        return replace(frame, pixels=pixels, alpha=_fit_alpha(frame.alpha, *pixels.shape[:2]))

    def _make_effect(self, task: str, given: str) -> tuple[Effect, dict[str, object]]:
        """Return the effect and its full parameters, defaults included."""
        offered = self._registry.task(task)
        params = validate_params(offered, json.loads(given))
        made = offered(params)
        if not isinstance(made, Effect):
            raise PluginError(task, "is no Effect, so it cannot render a frame")
        return made, params.model_dump(mode="json")

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
    worker: Worker, name: str, order: Order, tell: Tell, is_cancelled: Callable[[], bool]
) -> UnitSucceeded | UnitFailed | UnitCancelled:
    """Run the order on the worker of this name and say how it ended. Raises nothing."""
    try:
        figures = worker.run(order, tell, is_cancelled)
    except Cancelled:
        return UnitCancelled(name, order.token)
    except Exception as error:  # noqa: BLE001 - whatever it was, it is reported
        return UnitFailed(name, order.token, classify(error))
    return UnitSucceeded(name, order.token, figures)


_REASONS: Final[tuple[tuple[type[Exception], Reason], ...]] = (
    (UserError, Reason.USER_ERROR),
    (PluginError, Reason.PLUGIN_ERROR),
    (DeviceMemory, Reason.MEMORY),
    (MemoryError, Reason.MEMORY),
    (StorageFailed, Reason.STORAGE),
    (WorkerDied, Reason.WORKER_DIED),
)


def classify(error: BaseException) -> Failure:
    """Say what an error means for its unit; what the farm does not expect is its own bug."""
    reason = next((r for kind, r in _REASONS if isinstance(error, kind)), Reason.BUG)
    story = "" if reason is Reason.USER_ERROR else "".join(traceback.format_exception(error))
    return Failure(
        reason,
        _line(error) if isinstance(error, FarmError) else _named(error),
        is_fatal=reason is Reason.USER_ERROR,
        traceback=story[-_TRACEBACK_CHARACTERS:],
    )


def _load(source: str) -> tuple["Frame", str]:
    """Read a picture and the digest of its file, which is empty for one that is drawn."""
    from farm.media import read_still
    from farm.media.blank import is_blank
    from farm.storage import input_path, sha256_file

    frame = read_still(source)
    return frame, "" if is_blank(source) else sha256_file(input_path(source))


def _read_pixels(source: str) -> "np.ndarray":
    from farm.media import read_still

    with _storage(source):
        return read_still(source).pixels


def _fit_alpha(alpha: "np.ndarray | None", height: int, width: int) -> "np.ndarray | None":
    """Return the alpha at the picture's size, which an effect may have changed."""
    if alpha is None or alpha.shape == (height, width):
        return alpha
    import numpy as np
    from PIL import Image

    resized = Image.fromarray(alpha).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized, dtype=np.float32).clip(0, 1)


@contextmanager
def _timed(seconds: dict[str, float], stage: str) -> Iterator[None]:
    started = perf_counter()
    yield
    seconds[stage] = perf_counter() - started


@contextmanager
def _storage(url: str) -> Iterator[None]:
    """Turn what reading or writing raises into farm errors."""
    try:
        yield
    except FarmError:
        raise
    except MemoryError as error:
        raise DeviceMemory("this machine", url) from error
    except OSError as error:
        raise StorageFailed(url, error.strerror or _named(error)) from error
    except Exception as error:
        raise FarmBug(f"{url}: {_named(error)}") from error


@contextmanager
def _plugin(task: str, device: str) -> Iterator[None]:
    """Turn whatever a plugin raises into farm errors."""
    try:
        yield
    except FarmError:
        raise
    except (Exception, SystemExit) as error:
        if _is_memory(error):
            raise DeviceMemory(device, _line(error)) from error
        raise PluginError(task, f"{_named(error)} ({_place(error)})") from error


def _is_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and any(words in text for words in _NO_MEMORY)
    )


def _place(error: BaseException) -> str:
    """Return file and line where the error was raised."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{last.filename.rsplit('/', 1)[-1]}, line {last.lineno}"


def _named(error: BaseException) -> str:
    line = _line(error)
    return f"{type(error).__name__}: {line}" if line else type(error).__name__


def _line(error: BaseException) -> str:
    words = " ".join(str(error).split())
    return words if len(words) <= 300 else words[:297] + "..."
