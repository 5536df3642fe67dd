"""Photographic negative, the smallest effect."""

from farm import Effect, Field, TaskParams, hookimpl


class Invert(Effect):
    """Photographic negative."""

    name = "invert"

    class Params(TaskParams):
        amount: float = Field(1.0, ge=0, le=1, description="0 keeps the picture, 1 inverts it.")

    def render(self, image, context):
        return image.lerp(1 - image, self.params.amount)


@hookimpl
def farm_tasks():
    return [Invert]
