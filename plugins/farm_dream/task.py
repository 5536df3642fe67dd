"""The dream as a task: checks parameters, chooses the method and continues coherent films."""

from math import ceil
from typing import TYPE_CHECKING, Final

from farm import Context, Effect, Previous
from farm_dream.looks import DREAMS
from farm_dream.params import DreamParams

if TYPE_CHECKING:
    from torch import Tensor


CARRIED: Final = 0.85
"""Share of the previous frame in the start of the next, in a coherent film, at full trust."""


class Dream(Effect):
    """Amplify what a network sees: DeepDream octaves, guides, classes, enhancement."""

    name = "dream"
    Params = DreamParams
    presets = DREAMS
    params: DreamParams

    @property
    def continues_previous(self) -> bool:
        return True

    def check(self, context: Context) -> None:
        from farm_dream.objective import check_objective

        check_objective(self.params, context)

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        from farm_dream import ascent, enhance

        params = self.params
        if context.previous:
            image, params = continue_from(image, params, context.previous)
        method = enhance.enhance if params.method == "enhance" else ascent.dream
        return method(image, params, context)


def continue_from(
    image: "Tensor", params: DreamParams, previous: Previous
) -> "tuple[Tensor, DreamParams]":
    """Return the picture to start from after a previous frame, and parameters with fewer steps.

    The steps replace the share of the dream that is not carried over, so that the dream grows
    neither stronger nor weaker.
    """
    start = image.lerp(previous.image, CARRIED * previous.trust)
    steps = ceil(round((1 - CARRIED) * params.iterations, 6))
    return start, params.model_copy(update={"iterations": steps, "start": "picture"})
