"""The record inside an output: how it was rendered, and nothing that differs between equal runs."""

from typing import TYPE_CHECKING

from farm.model.messages import Order

if TYPE_CHECKING:
    from farm.engine.context import FrameContext
    from farm.media import Frame


def provenance(
    order: Order,
    params: dict[str, object],
    context: "FrameContext",
    source_sha256: str,
    frame: "Frame",
) -> dict[str, object]:
    """Return the record of a rendered frame. params: with defaults. context: after the render."""
    import farm
    from farm.engine.rendered import device_kind, torch_version

    return {
        "task": order.task,
        "params": params,
        "plan": order.plan.model_dump(mode="json"),
        "source": {"name": order.unit.name, "sha256": source_sha256},
        "seed": context.seed,
        "networks": dict(sorted(context.networks_used.items())),
        "device": device_kind(str(context.device)),
        "versions": {"farm": farm.__version__, "torch": torch_version()},
        "alpha": frame.alpha is not None,
        "depth": frame.depth,
    }
