"""Train the starter network on any folder-per-class data set, optionally with a teacher.

    python -m farm_networks.recipe DATA -o starter.safetensors
        --teacher plugins/examples/abm_googlenet.py:AbmGoogLeNet --teacher-weights teacher.safetensors

DATA is a folder or a zip with `train/<class>/*` and `val/<class>/*`, and optionally `classes.csv`
(columns `wnid`, the class folder, and `name`). Each epoch writes the output file and a checkpoint
next to it. The same command resumes, also with a different number of epochs.
Sources: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015,
arXiv:1503.02531; Romero et al., "FitNets", 2015, arXiv:1412.6550, for matching features.
Differs: features are compared by the angle and length of their principal components. The teacher
sees a few fixed views of each picture and its outputs are stored; the student sees the same views
mirrored, recoloured, blurred or sharpened, and with noise, with a new random draw every epoch.
Photographs without labels teach through the teacher alone. Blocks are kept from responding to plain
pictures, and their channels are balanced in the end (balance.py), for the sake of dreams. The first
blocks can be kept, so that a network trained further paints the same strokes.
"""

import argparse
import copy
import json
import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from farm_networks.recipe.balance import balance
from farm_networks.recipe.data import (
    Dataset,
    Split,
    augment,
    draw_plain,
    draw_views,
    load_dataset,
    load_photographs,
    normalise,
    sample_views,
    sample_whole,
)
from farm_networks.recipe.student import Student, evaluate, measure_norms, save_network
from farm_networks.recipe.teacher import StoredOutputs, Teacher, half_precision, load_teacher
from farm_networks.recipe.unfolding import unfold
from farm_networks.starter.network import BLOCKS, StarterGoogLeNet, fold

PLAIN_WEIGHT: Final = 0.3

SUMMARY: Final = "Train the starter network on a folder-per-class data set."


class Source:
    """Pictures to learn from: a few fixed views of each, and the teacher's outputs for them."""

    def __init__(self, split: Split, outputs: StoredOutputs | None, seed: int) -> None:
        self.split = split
        self._outputs, self._seed = outputs, seed
        self._views = Tensor()
        self._round = -1

    def __len__(self) -> int:
        return len(self.split.labels)

    def draw(self, indices: Tensor, side: int) -> Tensor:
        """Return this round's views of the pictures at `indices`, in 0..1."""
        return sample_views(self.split.pictures[indices], self._views[indices], side)

    def batch(
        self, indices: Tensor, epoch: int, options: argparse.Namespace
    ) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
        """Return views, labels and the teacher's outputs, mirrored every other time they come up."""
        times, round_number = divmod(epoch, options.views)
        if round_number != self._round:
            self._round = round_number
            self._views = draw_views(len(self), _seeded_generator(self._seed, 1, round_number))
        outputs = self._outputs.get(round_number, indices, self.draw) if self._outputs else {}
        x = self.draw(indices, options.side)
        if times % 2:
            x = x.flip(3)
            outputs = {n: o.flip(3) if o.ndim == 4 else o for n, o in outputs.items()}
        return x, self.split.labels[indices], outputs


class Trainer:
    """Trains the student epoch by epoch, averages its weights, and saves and resumes."""

    def __init__(self, options: argparse.Namespace, data: Dataset) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.data = data
        self.epoch = 0
        teacher = self._open_teacher()
        splits = [data.train]
        if options.photographs:
            splits.append(load_photographs(options.photographs, 2 * options.stored, options.seed))
        self.sources = [self._source(split, teacher, n) for n, split in enumerate(splits)]
        student = Student(len(data.names), 1000 if teacher is None else teacher.outputs)
        self.student = student.to(memory_format=torch.channels_last)
        if options.keep:
            self.student.keep(options.keep)
        self.average = AveragedModel(
            self.student.network, multi_avg_fn=update_average, use_buffers=True
        )
        self.optimizer = _make_optimizer(self.student)
        self.checkpoint = options.output.with_suffix(".checkpoint")
        if self.checkpoint.exists():
            self._resume()
        elif options.start is not None:
            x = normalise(sample_whole(self._sample(256), options.side))
            unfold(student.network, options.start, x)

    def run_epoch(self) -> float:
        """Train on every picture once; return the mean loss."""
        options, epoch = self.options, self.epoch
        generator = _seeded_generator(options.seed, 2, epoch)
        steps = max(1, len(self.data.train.labels) // options.batch)
        orders = [self._shuffle(source, steps, generator) for source in self.sources]
        losses = []
        self.student.train()
        for number, batches in enumerate(zip(*orders, strict=True)):
            parts = [
                source.batch(indices, epoch, options)
                for source, indices in zip(self.sources, batches, strict=True)
                if len(indices)
            ]
            x, labels, outputs = _join(parts)
            x = normalise(augment(x, generator))
            plain = normalise(draw_plain(max(2, len(x) // 10), options.side, generator))
            with half_precision():
                loss = self.student.loss(x, labels, outputs or None)
                loss = loss + PLAIN_WEIGHT * self.student.response_to_plain(plain)
            self._step(loss, epoch + number / steps)
            losses.append(loss.item())
        self.epoch += 1
        return sum(losses) / len(losses)

    def _shuffle(self, source: Source, steps: int, generator: torch.Generator) -> Sequence[Tensor]:
        """Return the pictures of each step; those without labels are spread over all steps."""
        order = torch.randperm(len(source), generator=generator)
        if source is self.sources[0]:
            return order[: steps * self.options.batch].tensor_split(steps)
        return order.tensor_split(steps)

    def export(self) -> float:
        """Write the averaged, folded and balanced network and the checkpoint; return top-1 accuracy."""
        network = copy.deepcopy(cast("StarterGoogLeNet", self.average.module))
        measure_norms(network, self._sample(1500), self.options.side, self.options.keep)
        network = fold(network)
        balance(network, self._sample(300), self.options.side, self.options.keep)
        accuracy, dead = evaluate(network, self.data.val, self.options.side)
        metadata = describe(self.data, self.options, self.epoch, accuracy, dead)
        save_network(network, self.options.output, metadata)
        state = {name: part.state_dict() for name, part in self._parts().items()}
        partial = self.checkpoint.with_suffix(".partial")
        torch.save({"epoch": self.epoch, **state}, partial)
        partial.replace(self.checkpoint)
        return accuracy

    def _sample(self, count: int) -> Tensor:
        """Return about so many pictures, of all classes."""
        pictures = self.data.train.pictures
        return pictures[:: max(1, len(pictures) // count)]

    def _step(self, loss: Tensor, epoch: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self.options.rate * rate_factor(epoch, self.options.epochs)
        self.optimizer.zero_grad()
        torch.autograd.backward(loss)
        self.optimizer.step()
        self.average.update_parameters(self.student.network)

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        self.epoch = state["epoch"]
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        """Return what a checkpoint stores, by its name there."""
        return {"pupil": self.student, "average": self.average, "optimiser": self.optimizer}

    def _open_teacher(self) -> Teacher | None:
        options, train = self.options, self.data.train
        if options.teacher is None:
            return None
        network = load_teacher(options.teacher, options.teacher_weights)
        indices = torch.linspace(0, len(train.labels) - 1, min(len(train.labels), 2000)).long()
        known = Split(train.pictures[indices], train.labels[indices])
        side = options.teacher_side
        return Teacher(network, known, side, options.side / side)

    def _source(self, split: Split, teacher: Teacher | None, number: int) -> Source:
        options = self.options
        folder = options.output.with_suffix(".lessons") / str(number)
        count = len(split.labels)
        outputs = StoredOutputs(teacher, folder, count, options.views) if teacher else None
        return Source(split, outputs, options.seed)


def _join(
    parts: Sequence[tuple[Tensor, Tensor, dict[str, Tensor]]],
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    views, labels, outputs = zip(*parts, strict=True)
    names = outputs[0].keys()
    joined = {name: torch.cat([part[name] for part in outputs]) for name in names}
    return torch.cat(views), torch.cat(labels), joined


def rate_factor(epoch: float, epochs: int) -> float:
    """Return the fraction of the peak learning rate: one epoch of warm-up, then a cosine to 0."""
    return min(epoch + 0.02, 1.0) * (1 + math.cos(math.pi * min(epoch / epochs, 1.0))) / 2


def update_average(averages: Any, currents: Any, count: Any) -> None:
    """Update running averages: over all steps at first, later over about the last 500."""
    for average, current in zip(averages, currents, strict=True):
        if average.is_floating_point():
            average.lerp_(current, max(0.002, 1 / (1 + float(count))))
        else:
            average.copy_(current)


def _make_optimizer(student: nn.Module) -> torch.optim.AdamW:
    """Return AdamW, with weight decay on weights only, not on biases and norms."""
    trained = [p for p in student.parameters() if p.requires_grad]
    decayed = [p for p in trained if p.ndim > 1]
    plain = [p for p in trained if p.ndim == 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, weight_decay=0.05)


def _seeded_generator(*seeds: int) -> torch.Generator:
    mixed = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    return torch.Generator().manual_seed(mixed)


def describe(
    data: Dataset,
    options: argparse.Namespace,
    epochs: int,
    accuracy: float,
    dead: dict[str, float],
) -> dict[str, str]:
    """Return the file's metadata: architecture, classes, input, accuracy, recipe and licence."""
    teacher = "no teacher" if options.teacher is None else f"teacher {options.teacher}"
    return {
        "name": "starter",
        "architecture": "farm_networks.starter.network.StarterGoogLeNet(folded=True)",
        "classes": json.dumps(data.names),
        "input": "RGB 0..1, less mean [0.485, 0.456, 0.406], over deviation [0.229, 0.224, 0.225]",
        "accuracy": f"{accuracy:.4f} top-1 of {len(data.val.labels)} pictures, side {options.side}",
        "dead_channels": json.dumps(dead),
        "recipe": f"{epochs} epochs of {len(data.train.labels)} pictures, {teacher}",
        "licence": options.licence,
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    program = "python -m farm_networks.recipe"
    parser = argparse.ArgumentParser(prog=program, description=SUMMARY)
    add = parser.add_argument
    add("data", type=Path, help="folder or zip with train/<class>/* and val/<class>/*")
    add("-o", "--output", type=Path, required=True, help="safetensors file to write")
    add("--teacher", metavar="FILE.py:CLASS", help="network to learn from")
    add("--teacher-weights", type=Path, help="the teacher's weights, as safetensors")
    add("--teacher-side", type=int, default=128, help="side of the teacher's input, in pixels")
    add("--photographs", type=Path, nargs="*", default=[], help="folders or zips without classes")
    add("--start", type=Path, help="weights of a starter network to begin with, as safetensors")
    add("--keep", choices=BLOCKS, help="block to keep as it is in --start, with all before it")
    add("--epochs", type=int, default=30)
    add("--batch", type=int, default=128)
    add("--rate", type=float, default=3e-3, help="peak learning rate")
    add("--side", type=int, default=96, help="side of the networks' input, in pixels")
    add("--stored", type=int, default=64, help="side of the pictures kept in memory, in pixels")
    add("--views", type=int, default=4, help="number of views of each picture")
    add("--seed", type=int, default=0)
    add("--licence", default="that of the training data", help="licence to store in the file")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    options = parse(arguments)
    trainer = Trainer(options, load_dataset(options.data, options.stored))
    while trainer.epoch < options.epochs:
        start = time.monotonic()
        loss = trainer.run_epoch()
        accuracy = trainer.export()
        seconds = time.monotonic() - start
        line = f"epoch {trainer.epoch}: loss {loss:.3f}, top-1 {accuracy:.3f}, {seconds:.0f} s"
        print(line, flush=True)  # noqa: T201 - progress on the terminal
