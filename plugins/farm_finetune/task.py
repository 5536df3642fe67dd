"""The run behind `farm finetune`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from farm import BadInput, Context, Run
from farm_finetune.params import FinetuneParams
from farm_finetune.tuned import RESULT, TASK


class Finetune(Run):
    """Train a network on categories of your own, to dream of them."""

    name = TASK
    Params = FinetuneParams
    params: FinetuneParams
    result = RESULT

    def check(self, context: Context) -> None:
        from farm_finetune.blocks import matching_layers

        params = self.params
        given = context.network(params.network, params.weights)
        network = context.module(params.network, params.weights)
        for patterns in (params.keep, params.reinit, params.freeze):
            matching_layers(network, given.name, given.spec.aliases, patterns)

    def check_inputs(self, inputs: tuple[str, ...], context: Context) -> None:
        from farm_finetune.train import categorised

        if len(inputs) != 1:
            raise BadInput(
                inputs[-1],
                f"{len(inputs)} sets of pictures given; give one, such as a folder or a zip",
            )
        categorised(context, inputs[0])

    def notes_on_inputs(self, inputs: tuple[str, ...], context: Context) -> Iterable[str]:
        from farm.engine.training import notes_on_few

        return notes_on_few(context.pictures(inputs[0]), self.params.batch)

    def facts(self, inputs: tuple[str, ...], context: Context) -> dict[str, Any]:
        from farm_finetune.train import facts_of

        network = context.network(self.params.network, self.params.weights)
        return facts_of(self.params, network, context.pictures(inputs[0]))

    def train(self, inputs: tuple[str, ...], folder: Path, context: Context) -> None:
        from farm_finetune.train import train

        train(inputs[0], folder / RESULT, self.params, context)
