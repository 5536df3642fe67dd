"""The record inside an output: how it was rendered, and nothing that differs between equal runs.

It names files by name and digest, so that it reveals no paths, and so that a job writes
the same bytes wherever its files are.
"""

from collections.abc import Mapping
from pathlib import PurePath
from typing import TYPE_CHECKING, Final

from farm.host.context import Context
from farm.host.task import NetworkParams, Task
from farm.media.blank import is_blank
from farm.model.messages import Order
from farm.model.work import Join
from farm.storage import is_remote, name

_OF_A_FRAME: Final = {"frame", "coherence", "alpha"}
"""What a film's record does not take from that of its first frame."""

if TYPE_CHECKING:
    from farm.engine.context import FrameContext
    from farm.media import Frame


def named_params(
    task: Task, params: Mapping[str, object], context: "FrameContext"
) -> dict[str, object]:
    """Return a task's parameters for the record. context: after the render.

    As digested_params, without a network that was not used, and without its weights.
    """
    named = digested_params(task, params, context)
    if isinstance(task.params, NetworkParams) and task.params.network not in context.networks_used:
        del named["network"], named["weights"]
    return named


def digested_params(
    task: Task, params: Mapping[str, object], context: Context
) -> dict[str, object]:
    """Return a task's parameters without any path.

    One that names a file becomes ``{"name": ..., "sha256": ...}``. Of a network that is a file,
    the name remains.
    """
    digests = {text: context.digest(path) for text, path in task.files().items()}
    named = {key: _with_digests(value, digests) for key, value in params.items()}
    if isinstance(task.params, NetworkParams):
        named["network"] = _without_folder(task.params.network)
    return named


def _without_folder(network: str) -> str:
    """Return the name of a network, or of the file that it is."""
    is_file = is_remote(network) or PurePath(network).is_absolute()
    return name(network) if is_file else network


def _with_digests(value: object, digests: Mapping[str, str]) -> object:
    """Return a parameter in which each text that names a file is replaced by name and digest."""
    if isinstance(value, str) and value in digests:
        return {"name": name(value), "sha256": digests[value]}
    if isinstance(value, Mapping):
        return {key: _with_digests(item, digests) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_with_digests(item, digests) for item in value]
    return value


def provenance(
    order: Order,
    params: Mapping[str, object],
    context: "FrameContext",
    source_sha256: str,
    frame: "Frame",
) -> dict[str, object]:
    """Return the record of a rendered frame. params: from named_params. context: after the render."""
    import farm
    from farm.engine.rendered import device_kind, torch_version

    networks = {_without_folder(n): digest for n, digest in context.networks_used.items()}
    return {
        "task": order.task,
        "params": dict(params),
        "plan": order.plan.model_dump(mode="json", exclude_none=True),
        "source": {"name": _source_name(order.unit.source), "sha256": source_sha256},
        **_frame(order),
        "networks": dict(sorted(networks.items())),
        "device": device_kind(str(context.device)),
        "versions": {"farm": farm.__version__, "torch": torch_version()},
        "alpha": frame.alpha is not None,
        "depth": frame.depth,
    }


def _frame(order: Order) -> dict[str, object]:
    """Return the number of a frame of a film, from 1, and how it continues the frames before it."""
    number, coherence = order.unit.frame, order.film.coherence
    if number is None:
        return {}
    return {"frame": number} | ({} if coherence == "none" else {"coherence": coherence})


def _source_name(source: str) -> str:
    return source if is_blank(source) else name(source)


def film_provenance(
    order: Order, work: Join, first: Mapping[str, object], source_sha256: str
) -> dict[str, object]:
    """Return the record of a film. first: of its first frame, from which it takes what all share."""
    if not first:
        return {}
    shared = {key: value for key, value in first.items() if key not in _OF_A_FRAME}
    film, source = order.film, order.unit.source
    if source:
        shared["source"] = {"name": name(source), "sha256": source_sha256}
    rate = {} if film.rate is None else {"rate": str(film.rate)}
    return shared | {
        "depth": work.form.depth,
        "film": {
            **rate,
            "coherence": film.coherence,
            "codec": work.form.codec,
            "quality": work.form.quality,
            "frames": order.frames or "all",
            **({"is_loop": True} if film.is_loop else {}),
        },
    }
