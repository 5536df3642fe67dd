"""Fine-tune a network: the run behind `farm finetune`.

Source: the workflow of 2015 for dreams of one's own subjects, which fine-tuned BVLC's GoogLeNet
(Szegedy et al. 2015, arXiv 1409.4842) with Caffe: SGD with momentum; biases learn at twice the
rate and do not decay; auxiliary classifiers count 0.3; random crops and mirror images.
Differs: held-out pictures are measured; the rate is supervised by the program; batch norm keeps the
statistics that the network came with; the rate multiplies the momentum, as in torch.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor

from farm import BadInput, Context, PictureSet
from farm.engine.networks import Network
from farm.engine.training import Feed, Observation, StepResult, TrainingOptions, TrainState
from farm.engine.training.supervisor import RateSupervisor, rate_factor
from farm_finetune.accuracy import confusion_of
from farm_finetune.augmentation import augmented, centred
from farm_finetune.blocks import prepare_blocks
from farm_finetune.classifier import replace_classifiers
from farm_finetune.noise import Place, replace_dropout, set_training
from farm_finetune.params import FinetuneParams
from farm_finetune.parts import step_in_parts
from farm_finetune.tuned import MODULE, origin_of, write_network

AUXILIARY: Final = 0.3
"""Weight of the auxiliary classifiers' losses, as in GoogLeNet."""

BIAS_RATE: Final = 2.0
"""Rate of biases relative to that of weights, as in Caffe's networks (lr_mult)."""

_WATCHED: Final = 1000
"""Steps after which a loss that has not fallen is stuck, as the author of the workflow found."""

_AVERAGED: Final = 200
"""Pictures to take the mean colour of."""


def train(source: str, result: Path, params: FinetuneParams, context: Context) -> None:
    """Start or resume the run in the result's folder, and write the result."""
    pictures = categorised(context, source)
    prepare = partial(augmented, params)
    with Feed(pictures, context.seed, params.batch, prepare) as feed:
        tuning = Tuning(params, pictures, context.pictures(source, "val"), feed, context)
        state = tuning.state()
        context.train(
            state,
            tuning.step,
            TrainingOptions(result.parent, params.steps, params.batch, params.every, params.kept),
            observe=tuning.observe,
            supervisor=tuning.supervisor(),
        )
    if context.world.rank == 0:
        write_network(result, tuning.network, {**state.facts, "digest": state.digest()})


def categorised(context: Context, source: str) -> PictureSet:
    """Return the pictures to train on. Raises BadInput unless there are at least two categories."""
    pictures = context.pictures(source)
    if len(pictures.categories) < 2:
        found = (
            f"the only category is {pictures.categories[0]}"
            if pictures.categories
            else "it has none"
        )
        raise BadInput(
            source,
            f"fine-tuning needs pictures of two or more categories, and {found}; give a folder with "
            "a subfolder for each category",
        )
    return pictures


def facts_of(params: FinetuneParams, network: Network, pictures: PictureSet) -> dict[str, Any]:
    """Return what must stay the same when a run is resumed. network: that was given, as it came."""
    facts = params.model_dump(
        mode="json",
        exclude={"network", "weights", "every", "kept", "steps", "keep", "reinit", "freeze"},
    )
    facts |= {name: ",".join(getattr(params, name)) for name in ("keep", "reinit", "freeze")}
    facts |= {
        "network": origin_of(network.name),
        "weights": network.digest,
        "categories": json.dumps(list(pictures.categories), ensure_ascii=False),
        "pictures": len(pictures),
        "sha256 of the pictures": pictures.digest,
    }
    return facts | ({"steps": params.steps} if params.policy == "poly" else {})


class Tuning:
    """One run: the network to train, the pictures, and a step."""

    def __init__(
        self,
        params: FinetuneParams,
        pictures: PictureSet,
        held_out: PictureSet,
        feed: Feed,
        context: Context,
    ) -> None:
        self._params, self._context, self._feed = params, context, feed
        self._pictures, self._held_out = pictures, held_out
        given = context.network(params.network, params.weights)
        self._given = given
        self.network = context.module(params.network, params.weights)
        classes = len(pictures.categories)
        classifiers = replace_classifiers(self.network, given.name, classes)
        prepare_blocks(
            self.network,
            given.name,
            classifiers,
            context.seed,
            aliases=given.spec.aliases,
            keep=params.keep,
            reinit=params.reinit,
            freeze=params.freeze,
        )
        self._place = Place(context.seed)
        replace_dropout(self.network, self._place)
        set_training(self.network)
        self.network.to(context.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean, self._std = (
            torch.tensor(value, device=context.device).view(3, 1, 1)
            for value in (given.spec.mean, given.spec.std)
        )

    def state(self) -> TrainState:
        """Return the state of a run that starts."""
        params = self._params
        trained = [p for p in self.network.parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in trained if p.ndim > 1]},
            {
                "params": [p for p in trained if p.ndim < 2],
                "weight_decay": 0.0,
                "rate_factor": BIAS_RATE,
            },
        ]
        optimizer = torch.optim.SGD(
            groups, params.rate, params.momentum, weight_decay=params.weight_decay
        )
        facts = facts_of(params, self._given, self._pictures)
        facts["mean colour"] = self._mean_colour()
        return TrainState({MODULE: self.network}, {MODULE: optimizer}, self._context.seed, facts)

    def supervisor(self) -> RateSupervisor | None:
        """Return what corrects the rate; it watches for less than 1000 steps in a short run."""
        if not self._params.supervise:
            return None
        return RateSupervisor(first=max(20, min(_WATCHED, self._params.steps // 4)))

    def step(self, state: TrainState, rows: range) -> StepResult:
        """Take one step on these rows."""
        batch = self._feed.batch(state.step, rows)
        rate = self._params.rate_of(state.step) * rate_factor(state.memory)
        self._place.step = state.step
        results: list[tuple[Tensor, Tensor]] = []

        def loss_of(part: slice) -> Tensor:
            if part.start == 0:
                results.clear()  # of an attempt that did not fit the memory
            self._place.rows = rows[part]
            labels = batch.labels[part].to(self._context.device)
            loss, right = self._loss(batch.pictures[part], labels)
            results.append((loss.detach(), right))
            return loss

        warning = step_in_parts(
            state,
            state.optimizers[MODULE],
            loss_of,
            count=len(rows),
            rate=rate,
            world=self._context.world,
        )
        losses, rights = zip(*results, strict=True)
        return StepResult(
            {"loss": torch.stack(losses).sum()},
            figures={"training accuracy": torch.stack(rights).sum() / self._params.batch},
            rate=rate,
            warning="; ".join(filter(None, (warning, self._feed.warning))),
        )

    def observe(self) -> Observation:
        """Return the accuracy on held-out pictures, and which categories are confused."""
        if not len(self._held_out):
            return Observation()
        self.network.eval()
        confusion = confusion_of(
            self._guess, partial(centred, self._params), self._held_out, self._pictures.categories
        )
        set_training(self.network)
        if confusion is None:
            return Observation()
        return Observation({"confusion": confusion.drawn()}, {"accuracy": confusion.accuracy})

    def _loss(self, pictures: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, divided by the size of the whole batch, and how many guesses are right."""
        main, *auxiliary = self._outputs(pictures)
        loss = F.cross_entropy(main, labels, reduction="sum")
        for logits in auxiliary:
            loss = loss + AUXILIARY * F.cross_entropy(logits, labels, reduction="sum")
        return loss / self._params.batch, (main.detach().argmax(1) == labels).sum()

    def _outputs(self, pictures: Tensor) -> list[Tensor]:
        """Return the scores of every classifier, the main one first: each [rows, classes]."""
        image = (pictures.to(self._context.device) - self._mean) / self._std
        output = self.network(image.contiguous(memory_format=torch.channels_last))
        return [output] if isinstance(output, Tensor) else list(output)

    def _guess(self, pictures: Tensor) -> Tensor:
        with torch.no_grad():
            return self._outputs(pictures)[0].argmax(1)

    def _mean_colour(self) -> str:
        """Return the mean of some pictures spread over the set, as "red green blue" in 0..255."""
        count = len(self._pictures)
        numbers = range(0, count, -(-count // _AVERAGED))
        means = [self._feed.picture(number)[0].mean((0, 1)) for number in numbers]
        mean = sum(means) / len(means)
        return " ".join(f"{value:.1f}" for value in mean)
