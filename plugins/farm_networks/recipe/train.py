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
recoloured, blurred or sharpened, and with noise, with a new random draw every epoch.
"""

import argparse
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

from farm_networks.recipe.data import (
    Dataset,
    augment,
    draw_views,
    load_dataset,
    normalise,
    sample_views,
    sample_whole,
)
from farm_networks.recipe.student import Student, evaluate, save_network
from farm_networks.recipe.teacher import TeacherOutputs, load_teacher
from farm_networks.starter.network import StarterGoogLeNet, fold

SUMMARY: Final = "Train the starter network on a folder-per-class data set."


class Trainer:
    """Trains the student epoch by epoch, averages its weights, and saves and resumes."""

    def __init__(self, options: argparse.Namespace, data: Dataset) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.data = data
        self.epoch = 0
        self.teacher = self._open_teacher()
        student = Student(len(data.names), 1000 if self.teacher is None else self.teacher.classes)
        self.student = student.to(memory_format=torch.channels_last)
        self.average = AveragedModel(
            self.student.network, multi_avg_fn=update_average, use_buffers=True
        )
        self.optimizer = _make_optimizer(self.student)
        self.checkpoint = options.output.with_suffix(".checkpoint")
        if self.checkpoint.exists():
            self._resume()

    def run_epoch(self) -> float:
        """Train on every picture once; return the mean loss."""
        options, split, epoch = self.options, self.data.train, self.epoch
        round_number = epoch % options.views
        views = draw_views(len(split.labels), _seeded_generator(options.seed, 1, round_number))
        generator = _seeded_generator(options.seed, 2, epoch)
        order = torch.randperm(len(split.labels), generator=generator)
        batches = torch.split(order, options.batch)
        full = [batch for batch in batches if len(batch) == options.batch] or list(batches)
        losses = []
        self.student.train()
        for number, batch in enumerate(full):
            x = sample_views(split.pictures[batch], views[batch], options.side)
            outputs = self.teacher.get(round_number, batch, x) if self.teacher else None
            x = normalise(augment(x, generator))
            loss = self.student.loss(x, split.labels[batch], outputs)
            self._step(loss, epoch + number / len(full))
            losses.append(loss.item())
        self.epoch += 1
        return sum(losses) / len(losses)

    def export(self) -> float:
        """Write the averaged, folded network and the checkpoint; return top-1 accuracy."""
        network = fold(cast("StarterGoogLeNet", self.average.module))
        accuracy, dead = evaluate(network, self.data.val, self.options.side)
        metadata = describe(self.data, self.options, self.epoch, accuracy, dead)
        save_network(network, self.options.output, metadata)
        state = {name: part.state_dict() for name, part in self._parts().items()}
        partial = self.checkpoint.with_suffix(".partial")
        torch.save({"epoch": self.epoch, **state}, partial)
        partial.replace(self.checkpoint)
        return accuracy

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

    def _open_teacher(self) -> TeacherOutputs | None:
        options, pictures = self.options, self.data.train.pictures
        if options.teacher is None:
            return None
        teacher = load_teacher(options.teacher, options.teacher_weights)
        indices = torch.linspace(0, len(pictures) - 1, min(len(pictures), 512)).long()
        sample = sample_whole(pictures[indices], options.side)
        folder = options.output.with_suffix(".lessons")
        return TeacherOutputs(teacher, folder, sample, len(pictures), options.views)


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
    decayed = [p for p in student.parameters() if p.ndim > 1]
    plain = [p for p in student.parameters() if p.ndim == 1]
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
