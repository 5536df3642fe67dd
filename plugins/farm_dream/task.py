"""The dream as a task: checks parameters and chooses the method."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from farm import Context, Effect
from farm_dream.looks import DREAMS
from farm_dream.params import DreamParams

if TYPE_CHECKING:
    from torch import Tensor


class Dream(Effect):
    """Amplify what a network sees: DeepDream octaves, guides, classes, enhancement."""

    name = "dream"
    Params = DreamParams
    presets = DREAMS
    params: DreamParams

    @property
    def continues_previous(self) -> bool:
        return True

    @property
    def keeps_strength(self) -> bool:
        return self.params.start == "picture"

    def check(self, context: Context) -> None:
        from farm_dream.objective import check_objective

        check_objective(self.params, context)

    def notes(self, context: Context) -> Iterable[str]:
        from farm_dream.objective import class_notes

        network = context.network(self.params.network, self.params.weights)
        return class_notes(self.params.class_weights(), network)

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        from farm_dream import ascent, enhance

        method = enhance.enhance if self.params.method == "enhance" else ascent.dream
        return method(image, self.params, context)
