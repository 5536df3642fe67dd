"""The run behind `farm dcgan`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from farm import BadInput, Context, Run, Sampler
from farm_dcgan.params import DcganParams

RESULT: Final = "generator.safetensors"


class Dcgan(Run):
    """Train a generator on a set of pictures, to draw new ones like them."""

    name = "dcgan"
    Params = DcganParams
    params: DcganParams
    result = RESULT

    def check_inputs(self, inputs: tuple[str, ...], context: Context) -> None:
        if len(inputs) != 1:
            raise BadInput(
                inputs[-1],
                f"{len(inputs)} sets of pictures given; give one, such as a folder or a zip",
            )
        context.pictures(inputs[0])

    def notes_on_inputs(self, inputs: tuple[str, ...], context: Context) -> Iterable[str]:
        from farm.engine.training import notes_on_few

        return notes_on_few(context.pictures(inputs[0]), self.params.recipe().batch)

    def facts(self, inputs: tuple[str, ...], context: Context) -> dict[str, Any]:
        from farm_dcgan.train import facts_of

        recipe = self.params.recipe()
        return facts_of(self.params.preset, recipe, context.pictures(inputs[0]))

    def train(self, inputs: tuple[str, ...], folder: Path, context: Context) -> None:
        from farm_dcgan.train import train

        train(inputs[0], folder / RESULT, self.params, context)

    def sampler(self, checkpoint: Path, context: Context) -> Sampler:
        from farm_dcgan.sampler import LatentSampler

        return LatentSampler.of_checkpoint(checkpoint, self.params.recipe(), context)
