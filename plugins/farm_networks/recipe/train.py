"""Train the starter network on any folder-per-class data set, with a teacher if there is one.

    python -m farm_networks.recipe DATA -o starter.safetensors
        --teacher plugins/examples/abm_googlenet.py:AbmGoogLeNet --teacher-weights teacher.safetensors

DATA is a folder or a zip with `train/<class>/*` and `val/<class>/*`, and optionally `classes.csv`
(columns `wnid`, the class folder, and `name`). After every epoch the file is written and a checkpoint
beside it; the same command resumes, also with more or fewer epochs.
Sources: Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015,
arXiv:1503.02531; Romero et al., "FitNets", 2015, arXiv:1412.6550, for matching features.
Differs: features are compared by their principal components, in angle and in length; the teacher
sees a few fixed views of each picture, and its answers are kept, while the student sees the same
views recoloured, blurred, sharpened and under noise, a new draw every time.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import io
import json
import math
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, cast
from zipfile import ZipFile

import numpy as np
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from farm_networks.starter.network import BLOCKS, BasicConv2d, StarterGoogLeNet, fold

MEAN: Final = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION: Final = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)
FEATURE_WEIGHT: Final = 1.5
STATEFUL: Final = ("pupil", "average", "optimiser")
SUMMARY: Final = "Train the starter network on a folder-per-class data set."


class Match(NamedTuple):
    """A block of the student, the teacher's block it learns from, and how many components are compared."""

    student: str
    teacher: str
    components: int


MATCHES: Final = (
    Match("inception3b", "c3", 64),
    Match("inception4c", "c4", 128),
    Match("inception4e", "e4", 192),
    Match("inception5b", "b5", 256),
)


# Pictures


class Split(NamedTuple):
    """Pictures [count, 3, stored, stored] in 0..255 and labels [count]."""

    pictures: Tensor
    labels: Tensor


class Dataset(NamedTuple):
    train: Split
    val: Split
    names: tuple[str, ...]


def read_files(data: Path) -> Iterator[tuple[str, bytes]]:
    """Yield relative name and content of every file of a folder or zip, in order of name."""
    if data.is_dir():
        for path in sorted(data.rglob("*.*")):
            yield path.relative_to(data).as_posix(), path.read_bytes()
    else:
        with ZipFile(data) as archive:
            for name in sorted(archive.namelist()):
                yield name, archive.read(name)


def decode(content: bytes, stored: int) -> Tensor:
    """Return the picture's centre square as RGB bytes [3, stored, stored]."""
    picture = ImageOps.fit(Image.open(io.BytesIO(content)).convert("RGB"), (stored, stored))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def load_dataset(data: Path, stored: int) -> Dataset:
    """Decode the whole data set into memory; class numbers follow the order of folder names."""
    found: dict[str, list[tuple[str, Tensor]]] = defaultdict(list)
    names: dict[str, str] = {}
    for path, content in read_files(data):
        match path.split("/"):
            case [("train" | "val") as part, folder, file] if file:
                found[part].append((folder, decode(content, stored)))
            case ["classes.csv"]:
                rows = csv.DictReader(io.StringIO(content.decode()))
                names = {row["wnid"]: row["name"].split(",")[0] for row in rows}
    folders = sorted({folder for folder, _ in found["train"]})
    index = {folder: number for number, folder in enumerate(folders)}

    def gather(part: str) -> Split:
        labels = torch.tensor([index[folder] for folder, _ in found[part]])
        return Split(torch.stack([picture for _, picture in found[part]]), labels)

    return Dataset(gather("train"), gather("val"), tuple(names.get(f, f) for f in folders))


def normalise(x: Tensor) -> Tensor:
    return ((x - MEAN) / DEVIATION).contiguous(memory_format=torch.channels_last)


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Return numbers [count, 1, 1, 1] in low..high, one a picture."""
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)


def draw_views(count: int, generator: torch.Generator) -> Tensor:
    """Return affine maps [count, 2, 3]: crops of three fifths of the side up to one and a half sides.

    Beyond one side the picture is mirrored at its border: small, sharp objects, as the first octaves see them.
    """
    near, far = uniform(count, 0.6, 1.0, generator), uniform(count, 1.0, 1.5, generator)
    span = torch.where(uniform(count, 0, 1, generator) < 0.7, near, far).view(count)
    aspect = uniform(count, -0.15, 0.15, generator).view(count).exp()
    side = torch.stack([span * aspect, span / aspect], 1)
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * (1 - side).abs()
    flip = torch.rand(count, generator=generator).round() * 2 - 1
    zero = torch.zeros(count)
    rows = [side[:, 0] * flip, zero, shift[:, 0], zero, side[:, 1], shift[:, 1]]
    return torch.stack(rows, 1).view(count, 2, 3)


def look(pictures: Tensor, views: Tensor, side: int) -> Tensor:
    """Return the views [count, 3, side, side] of pictures in 0..255, in 0..1."""
    grid = F.affine_grid(views, [len(pictures), 3, side, side], align_corners=False)
    x = pictures.float() / 255
    x = F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return x.clamp(0, 1)


def look_whole(pictures: Tensor, side: int) -> Tensor:
    return look(pictures, torch.eye(2, 3).expand(len(pictures), 2, 3), side)


def disturb(x: Tensor, generator: torch.Generator) -> Tensor:
    """Recolour, blur or sharpen, and add noise to pictures in 0..1, each by its own amounts."""
    count = len(x)
    grey = x.mean(1, keepdim=True)
    x = grey + (x - grey) * uniform(count, 0.3, 2.0, generator)
    x = x * (0.85 + 0.3 * torch.rand(count, 3, 1, 1, generator=generator))
    x = (x - 0.45) * uniform(count, 0.7, 1.3, generator) + uniform(count, 0.35, 0.55, generator)

    blurred = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), 3, stride=1)
    blurred = F.avg_pool2d(blurred, 3, stride=1)
    amount = uniform(count, -0.8, 1.0, generator)
    x = torch.where(uniform(count, 0, 1, generator) < 0.5, x, torch.lerp(x, blurred, amount))

    scale = uniform(count, -0.08, 0.08, generator).relu()
    return (x + scale * torch.randn(x.shape, generator=generator)).clamp(0, 1)


# The teacher


class Taps:
    """Run a network and keep the outputs of its named blocks."""

    def __init__(self, network: nn.Module, blocks: Sequence[str]) -> None:
        self.network = network
        self.features: dict[str, Tensor] = {}
        for block in blocks:
            network.get_submodule(block).register_forward_hook(partial(self._keep, block))

    def __call__(self, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.network(x)
        return logits, dict(self.features)

    def _keep(self, block: str, _module: nn.Module, _inputs: object, output: Tensor) -> None:
        self.features[block] = output


def load_teacher(where: str, weights: Path) -> nn.Module:
    """Build the class named by FILE.py:CLASS and load its weights."""
    file, _, name = where.rpartition(":")
    spec = importlib.util.spec_from_file_location("starter_teacher", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    teacher = cast("nn.Module", getattr(module, name)())
    teacher.load_state_dict(load_file(weights))
    return teacher.float().eval().to(memory_format=torch.channels_last)


class Lessons:
    """What the teacher makes of each picture in each round of views: asked once, then kept on disk.

    Features are kept as their leading principal components, divided by the fourth root of the
    variance so that the strongest few do not drown the rest; in half precision
    [round, picture, components, height, width].
    """

    def __init__(
        self, teacher: nn.Module, folder: Path, sample: Tensor, count: int, rounds: int
    ) -> None:
        self._ask = Taps(teacher, [match.teacher for match in MATCHES])
        self._bases = self._find_bases(sample, folder / "bases.safetensors")
        answers = self._answer(sample[:1])
        self.classes = answers["logits"].shape[1]
        self._known = self._open(folder / "known.npy", (rounds, count), np.bool_)
        self._stored = {
            name: self._open(folder / f"{name}.npy", (rounds, count, *x.shape[1:]), np.float16)
            for name, x in answers.items()
        }

    def get(self, round_number: int, indices: Tensor, x: Tensor) -> dict[str, Tensor]:
        """Return logits and features for views x of the pictures at `indices`."""
        at = indices.numpy()
        new = at[~self._known[round_number, at]]
        if len(new):
            fresh = torch.isin(indices, torch.from_numpy(new))
            for name, answer in self._answer(x[fresh]).items():
                self._stored[name][round_number, new] = answer.numpy()
            self._known[round_number, new] = True
        return {
            name: torch.from_numpy(stored[round_number, at]).float()
            for name, stored in self._stored.items()
        }

    @staticmethod
    def _open(path: Path, shape: tuple[int, ...], dtype: type) -> np.memmap:
        if path.exists():
            return np.lib.format.open_memmap(path, "r+")
        return np.lib.format.open_memmap(path, "w+", dtype, shape)

    @torch.no_grad()
    def _find_bases(self, sample: Tensor, path: Path) -> dict[str, Tensor]:
        """Return for each block [1 + components, channels]: the mean, then the scaled components."""
        if not path.exists():
            features = self._ask(normalise(sample))[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({m.student: _basis(features[m.teacher], m.components) for m in MATCHES}, path)
        return load_file(path)

    @torch.no_grad()
    def _answer(self, x: Tensor) -> dict[str, Tensor]:
        logits, features = self._ask(normalise(x))
        answers = {"logits": logits}
        for student, teacher, _ in MATCHES:
            mean, components = self._bases[student][0], self._bases[student][1:]
            centred = features[teacher] - mean.view(-1, 1, 1)
            answers[student] = F.conv2d(centred, components[..., None, None])
        return answers


def _basis(features: Tensor, components: int) -> Tensor:
    flat = features.permute(0, 2, 3, 1).flatten(0, 2)
    variances, vectors = torch.linalg.eigh(torch.cov(flat.T))
    leading = vectors[:, -components:] / variances[-components:].clamp(min=1e-6) ** 0.25
    return torch.cat([flat.mean(0, keepdim=True), leading.T]).contiguous()


class Pupil(nn.Module):
    """The network in training, and what is thrown away after it.

    That is the projections to the teacher's features and the head for its logits.
    """

    def __init__(self, classes: int, teacher_classes: int) -> None:
        super().__init__()
        self.network = StarterGoogLeNet(classes)
        self.projections = nn.ModuleDict(
            {m.student: nn.Conv2d(BLOCKS[m.student].out, m.components, 1) for m in MATCHES}
        )
        self.head = nn.Linear(self.network.fc.in_features, teacher_classes)
        self._taps = Taps(self.network, [match.student for match in MATCHES])

    def loss(self, x: Tensor, labels: Tensor, lessons: Mapping[str, Tensor] | None) -> Tensor:
        """Return cross-entropy, plus what separates logits and features from the lessons."""
        logits, features = self._taps(x)
        loss = F.cross_entropy(logits, labels, label_smoothing=0.1)
        if lessons is None:
            return loss
        mine = self.head(features["inception5b"].mean((2, 3))).log_softmax(1)
        theirs = lessons["logits"].log_softmax(1)
        loss = loss + F.kl_div(mine, theirs, reduction="batchmean", log_target=True)
        for block, projection in self.projections.items():
            mine, theirs = projection(features[block]), lessons[block]
            turned = 1 - F.cosine_similarity(mine, theirs, dim=1).mean()
            missed = F.mse_loss(mine, theirs) / theirs.square().mean()
            loss = loss + FEATURE_WEIGHT * (turned + missed)
        return loss


# Training


class Trainer:
    """Pupil, averaged network and optimiser; counts epochs; saves and resumes."""

    def __init__(self, options: argparse.Namespace, data: Dataset) -> None:
        torch.manual_seed(options.seed)
        self.options = options
        self.data = data
        self.epoch = 0
        self.lessons = self._find_lessons()
        pupil = Pupil(len(data.names), 1000 if self.lessons is None else self.lessons.classes)
        self.pupil = pupil.to(memory_format=torch.channels_last)
        self.average = AveragedModel(
            self.pupil.network, multi_avg_fn=average_lately, use_buffers=True
        )
        decayed = [p for p in self.pupil.parameters() if p.ndim > 1]
        plain = [p for p in self.pupil.parameters() if p.ndim == 1]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
        self.optimiser = torch.optim.AdamW(groups, weight_decay=0.05)
        self.checkpoint = options.output.with_suffix(".checkpoint")
        if self.checkpoint.exists():
            self._resume()

    def run_epoch(self) -> float:
        """Train on every picture once; return the mean loss."""
        options, split, epoch = self.options, self.data.train, self.epoch
        rounds = epoch % options.views
        views = draw_views(len(split.labels), _generator(options.seed, 1, rounds))
        generator = _generator(options.seed, 2, epoch)
        order = torch.randperm(len(split.labels), generator=generator)
        batches = torch.split(order, options.batch)
        full = [batch for batch in batches if len(batch) == options.batch] or list(batches)
        losses = []
        self.pupil.train()
        for number, batch in enumerate(full):
            x = look(split.pictures[batch], views[batch], options.side)
            lessons = self.lessons.get(rounds, batch, x) if self.lessons else None
            loss = self.pupil.loss(normalise(disturb(x, generator)), split.labels[batch], lessons)
            self._step(loss, epoch + number / len(full))
            losses.append(loss.item())
        self.epoch += 1
        return sum(losses) / len(losses)

    def export(self) -> float:
        """Write the averaged network, folded, and the checkpoint; return its top-1."""
        network = fold(cast("StarterGoogLeNet", self.average.module))
        accuracy, dead = examine(network, self.data.val, self.options.side)
        metadata = describe(self.data, self.options, self.epoch, accuracy, dead)
        save_network(network, self.options.output, metadata)
        state = {name: getattr(self, name).state_dict() for name in STATEFUL}
        partial = self.checkpoint.with_suffix(".partial")
        torch.save({"epoch": self.epoch, **state}, partial)
        partial.replace(self.checkpoint)
        return accuracy

    def _step(self, loss: Tensor, epoch: float) -> None:
        for group in self.optimiser.param_groups:
            group["lr"] = self.options.rate * schedule(epoch, self.options.epochs)
        self.optimiser.zero_grad()
        torch.autograd.backward(loss)
        self.optimiser.step()
        self.average.update_parameters(self.pupil.network)

    def _resume(self) -> None:
        state = torch.load(self.checkpoint, weights_only=True)
        self.epoch = state["epoch"]
        for name in STATEFUL:
            getattr(self, name).load_state_dict(state[name])

    def _find_lessons(self) -> Lessons | None:
        options, pictures = self.options, self.data.train.pictures
        if options.teacher is None:
            return None
        teacher = load_teacher(options.teacher, options.teacher_weights)
        some = torch.linspace(0, len(pictures) - 1, min(len(pictures), 512)).long()
        sample = look_whole(pictures[some], options.side)
        folder = options.output.with_suffix(".lessons")
        return Lessons(teacher, folder, sample, len(pictures), options.views)


def schedule(epoch: float, epochs: int) -> float:
    """Return the share of the peak learning rate: one epoch of warm-up, then half a cosine to 0."""
    return min(epoch + 0.02, 1.0) * (1 + math.cos(math.pi * min(epoch / epochs, 1.0))) / 2


def average_lately(averages: Any, currents: Any, count: Any) -> None:
    """Move averages towards current tensors: over all steps at first, over the last 500 later."""
    for average, current in zip(averages, currents, strict=True):
        if average.is_floating_point():
            average.lerp_(current, max(0.002, 1 / (1 + float(count))))
        else:
            average.copy_(current)


def _generator(*seeds: int) -> torch.Generator:
    mixed = int(np.random.SeedSequence(seeds).generate_state(1)[0])
    return torch.Generator().manual_seed(mixed)


# The file


@torch.inference_mode()
def examine(network: StarterGoogLeNet, split: Split, side: int) -> tuple[float, dict[str, float]]:
    """Return top-1, and for each layer the share of channels that no picture wakes."""
    convolutions = [n for n, m in network.named_modules() if isinstance(m, BasicConv2d)]
    taps = Taps(network.eval(), convolutions)
    correct, peaks = 0, dict[str, Tensor]()
    batches = zip(torch.split(split.pictures, 100), torch.split(split.labels, 100), strict=True)
    for pictures, labels in batches:
        logits, features = taps(normalise(look_whole(pictures, side)))
        correct += int((logits.argmax(1) == labels).sum())
        for name, feature in features.items():
            peak = feature.amax((0, 2, 3))
            peaks[name] = torch.maximum(peaks.get(name, peak), peak)
    layers = defaultdict[str, list[Tensor]](list)
    for name, peak in peaks.items():
        layers[name.split(".")[0]].append(peak)
    dead = {name: float((torch.cat(all_) == 0).float().mean()) for name, all_ in layers.items()}
    return correct / len(split.labels), dead


def describe(
    data: Dataset,
    options: argparse.Namespace,
    epochs: int,
    accuracy: float,
    dead: dict[str, float],
) -> dict[str, str]:
    """Return the metadata of the file: what it is, eats, answers and was made of."""
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


def save_network(network: StarterGoogLeNet, path: Path, metadata: dict[str, str]) -> None:
    """Write the weights in half precision; the file is whole or absent."""
    tensors = {n: t.half().contiguous() for n, t in network.state_dict().items()}
    partial = path.with_suffix(".partial")
    save_file(tensors, partial, metadata)
    partial.replace(path)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    program = "python -m farm_networks.recipe"
    parser = argparse.ArgumentParser(prog=program, description=SUMMARY)
    add = parser.add_argument
    add("data", type=Path, help="folder or zip with train/<class>/* and val/<class>/*")
    add("-o", "--output", type=Path, required=True, help="the safetensors file to write")
    add("--teacher", metavar="FILE.py:CLASS", help="a network to learn from")
    add("--teacher-weights", type=Path, help="its weights, safetensors")
    add("--epochs", type=int, default=30)
    add("--batch", type=int, default=128)
    add("--rate", type=float, default=3e-3, help="peak learning rate")
    add("--side", type=int, default=96, help="side of the pictures the networks see")
    add("--stored", type=int, default=64, help="side of the pictures kept in memory")
    add("--views", type=int, default=4, help="rounds of views that the teacher sees")
    add("--seed", type=int, default=0)
    add("--licence", default="that of the training data", help="written into the file")
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
        print(line, flush=True)  # noqa: T201 - the recipe reports to its caller
