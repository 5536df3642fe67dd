"""The dream as a task: which objective, which method, from which start."""

from math import ceil
from typing import TYPE_CHECKING, Final

from farm import Context, Effect, Previous
from farm_dream.params import DreamParams

if TYPE_CHECKING:
    from torch import Tensor


KEPT: Final = 0.85
"""Share of the frame before that a coherent film's frame begins with, where it is trusted."""


class Dream(Effect):
    """Amplify what a network sees: DeepDream octaves, guides, classes, enhancement."""

    name = "dream"
    Params = DreamParams
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
            image, params = go_on(image, params, context.previous)
        method = enhance.enhance if params.method == "enhance" else ascent.dream
        return method(image, params, context)


def go_on(image: "Tensor", params: DreamParams, previous: Previous) -> "tuple[Tensor, DreamParams]":
    """Return what a frame begins with that follows another one, and its fewer steps.

    Of the dream before so much is kept that the steps make up for what is not: it grows neither
    stronger nor weaker.
    """
    begun = image.lerp(previous.image, KEPT * previous.trust)
    steps = ceil(round((1 - KEPT) * params.iterations, 6))
    return begun, params.model_copy(update={"iterations": steps, "start": "picture"})
