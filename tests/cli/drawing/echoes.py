"""An effect whose films continue: every frame but the first is black."""

from typing import TYPE_CHECKING

from farm import Context, Effect, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


class Echoes(Effect):
    """Darken all but the first frame."""

    name = "echoes"
    coherence = "previous"

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        return image if context.previous is None else image * 0


@hookimpl
def farm_tasks() -> list[type[Effect]]:
    return [Echoes]
