"""Style transfer as a task: by optimisation, or in one pass with a trained style network."""

from typing import TYPE_CHECKING

from farm import Context, Effect
from farm_style.names import find
from farm_style.params import StyleParams, split_weight

if TYPE_CHECKING:
    from torch import Tensor


class Style(Effect):
    """Render a picture in the style of others, by optimisation or with a trained style network."""

    name = "style"
    Params = StyleParams
    params: StyleParams

    def files(self) -> dict[str, str]:
        params = self.params
        pictures = {style: split_weight(style)[0] for style in params.styles}
        start = {} if params.start in ("content", "noise") else {params.start: params.start}
        trained = {params.fast: find(params.fast)} if params.fast else {}
        return super().files() | pictures | start | trained

    @property
    def networks(self) -> tuple[str, ...]:
        return () if self.params.fast else super().networks

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
