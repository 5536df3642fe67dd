"""Style as a task: solved for one picture, or by a trained network in one pass."""

from typing import TYPE_CHECKING

from farm import Context, Effect
from farm_style.params import StyleParams

if TYPE_CHECKING:
    from torch import Tensor


class Style(Effect):
    """Paint a picture in the style of others: Gatys' method, or a trained network's."""

    name = "style"
    Params = StyleParams
    params: StyleParams

    @property
    def continues_previous(self) -> bool:
        return self.params.fast is None

    def check(self, context: Context) -> None:
        if self.params.fast:
            from farm_style import fast

            fast.check(self.params, context)
        else:
            from farm_style import targets

            targets.check(self.params, context)

    def render(self, image: "Tensor", context: Context) -> "Tensor":
        if self.params.fast:
            from farm_style import fast

            return fast.render(image, self.params, context)
        from farm_style import transfer

        return transfer.transfer(image, self.params, context)
