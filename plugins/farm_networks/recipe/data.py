"""Load a folder-per-class data set, and draw augmented views of its pictures."""

import csv
import io
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple
from zipfile import ZipFile

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

MEAN: Final = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
DEVIATION: Final = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


class Split(NamedTuple):
    """Pictures [count, 3, stored, stored] in 0..255 and labels [count]."""

    pictures: Tensor
    labels: Tensor


UNLABELLED: Final = -1
"""The label of a picture whose class is not known."""

CUT: Final = 120
"""Side in pixels of the area of a photograph that one of its squares stands for."""


class Dataset(NamedTuple):
    """Training and validation pictures, and the names of the classes."""

    train: Split
    val: Split
    names: tuple[str, ...]


def read_files(data: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the relative name and content of every file in a folder or zip, sorted by name."""
    if data.is_dir():
        for path in sorted(data.rglob("*.*")):
            yield path.relative_to(data).as_posix(), path.read_bytes()
    else:
        with ZipFile(data) as archive:
            for name in sorted(archive.namelist()):
                yield name, archive.read(name)


def decode(content: bytes, stored: int) -> Tensor:
    """Return the picture's central square as RGB bytes [3, stored, stored]."""
    picture = ImageOps.fit(Image.open(io.BytesIO(content)).convert("RGB"), (stored, stored))
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)


def load_dataset(data: Path, stored: int) -> Dataset:
    """Decode the whole data set into memory; classes are numbered in order of folder name."""
    pictures: dict[str, list[tuple[str, Tensor]]] = defaultdict(list)
    names: dict[str, str] = {}
    for path, content in read_files(data):
        match path.split("/"):
            case [("train" | "val") as split, folder, file] if file:
                pictures[split].append((folder, decode(content, stored)))
            case ["classes.csv"]:
                rows = csv.DictReader(io.StringIO(content.decode()))
                names = {row["wnid"]: row["name"] for row in rows}
    folders = sorted({folder for folder, _ in pictures["train"]})
    index = {folder: number for number, folder in enumerate(folders)}

    def stack(split: str) -> Split:
        labels = torch.tensor([index[folder] for folder, _ in pictures[split]])
        return Split(torch.stack([picture for _, picture in pictures[split]]), labels)

    return Dataset(stack("train"), stack("val"), tuple(names.get(f, f) for f in folders))


def load_photographs(sources: Sequence[Path], stored: int, seed: int) -> Split:
    """Return squares of photographs without labels, more of them from a larger photograph.

    Each is a random square, with a sixth to all of the photograph's shorter side; at most 60 of them.
    """
    generator = np.random.default_rng(seed)
    squares = []
    for source in sources:
        for _, content in read_files(source):
            picture = Image.open(io.BytesIO(content)).convert("RGB")
            count = min(60, max(1, picture.width * picture.height // CUT**2))
            squares += [_cut(picture, stored, generator) for _ in range(count)]
    return Split(torch.stack(squares), torch.full((len(squares),), UNLABELLED))


def _cut(picture: Image.Image, stored: int, generator: np.random.Generator) -> Tensor:
    shorter = min(picture.size)
    least = min(shorter, max(stored, shorter // 6))
    side = int(generator.integers(least, shorter + 1))
    left, top = (int(generator.integers(0, length - side + 1)) for length in picture.size)
    square = picture.crop((left, top, left + side, top + side))
    return torch.from_numpy(np.array(square.resize((stored, stored)))).permute(2, 0, 1)


def draw_plain(count: int, side: int, generator: torch.Generator) -> Tensor:
    """Return plain pictures [count, 3, side, side] in 0..1: colours that change slowly, with grain."""
    colour = torch.rand(count, 3, 1, 1, generator=generator)
    cells = torch.randn(count, 3, 3, 3, generator=generator) * uniform(count, 0, 0.2, generator)
    slopes = F.interpolate(cells, (side, side), mode="bicubic", align_corners=True)
    grain = torch.randn(count, 3, side, side, generator=generator)
    return (colour + slopes + uniform(count, 0, 0.02, generator) * grain).clamp(0, 1)


def normalise(x: Tensor) -> Tensor:
    """Subtract ImageNet's mean and divide by its standard deviation."""
    return ((x - MEAN) / DEVIATION).contiguous(memory_format=torch.channels_last)


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """Return random numbers [count, 1, 1, 1] in low..high, one per picture."""
    return low + (high - low) * torch.rand(count, 1, 1, 1, generator=generator)


def draw_views(count: int, generator: torch.Generator) -> Tensor:
    """Return random affine maps [count, 2, 3]: crops of 0.6 to 1.5 times the side.

    A crop larger than the picture is filled by mirroring at the border. Its objects are small
    and sharp, as in the first octaves of a dream.
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


def sample_views(pictures: Tensor, views: Tensor, side: int) -> Tensor:
    """Return the views [count, 3, side, side] in 0..1 of pictures in 0..255."""
    grid = F.affine_grid(views, [len(pictures), 3, side, side], align_corners=False)
    x = pictures.float() / 255
    x = F.grid_sample(x, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
    return x.clamp(0, 1)


def sample_whole(pictures: Tensor, side: int) -> Tensor:
    """Return whole pictures, resized to [count, 3, side, side], in 0..1."""
    return sample_views(pictures, torch.eye(2, 3).expand(len(pictures), 2, 3), side)


def augment(x: Tensor, generator: torch.Generator) -> Tensor:
    """Recolour pictures in 0..1, blur or sharpen half of them, and add noise to some."""
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
