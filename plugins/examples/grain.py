"""Film grain, seeded so that a job gives the same bytes on any worker."""

from farm import Effect, Field, TaskParams, hookimpl


class Grain(Effect):
    """Monochrome film grain, strongest in the midtones."""

    name = "grain"

    class Params(TaskParams):
        amount: float = Field(0.1, ge=0, le=1, description="Standard deviation at middle grey.")

    def render(self, image, context):
        import torch  # imported here so that `farm plugins` stays fast

        noise = torch.randn(image[:, :1].shape, generator=context.generator(), dtype=image.dtype)
        grey = image.mean(dim=1, keepdim=True)
        return image + self.params.amount * 4 * grey * (1 - grey) * noise.to(image.device)


@hookimpl
def farm_tasks():
    return [Grain]
