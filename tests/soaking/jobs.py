"""The jobs of the soak: small, of every kind, on inputs drawn here, by the real command."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Final

import numpy as np
from clips import Clip, scene
from PIL import Image
from soaking.places import Place, Servers

MARK: Final = "SOAK_MARK"
"""The environment variable by which the soak finds its own processes, and only those."""

QUICK: Final = ("--iterations", "6", "--octaves", "2", "--layer", "conv3", "--threads", "1")
TILED: Final = (
    *("--iterations", "3", "--octaves", "2", "--layer", "inception3a"),
    *("--tile", "96", "--threads", "1"),
)
RUN: Final = (
    *("--steps", "30", "--batch", "2", "--side", "64", "--style-side", "64", "--threads", "1"),
    *("--width", "4", "--blocks", "1", "--every", "4"),
)


@dataclass(frozen=True)
class Kind:
    """A kind of job.

    swapped: the input that trouble may replace, or empty. workers: 0 for none. is_remote: its files
    are in a bucket.
    """

    name: str
    words: tuple[str, ...]
    output: str
    swapped: str = ""
    workers: int = 0
    is_remote: bool = False

    @property
    def is_single(self) -> bool:
        """Whether the job renders one frame, or trains."""
        return self.work in {"tiled", "run", "shared", "gan"}

    @property
    def quiet(self) -> "Kind":
        """The undisturbed job with the same bytes: on disk, and in one process if that may be.

        Workers that share a run add up their sums in an order that depends on their number.
        """
        return replace(self, is_remote=False, workers=self.workers if self.work == "shared" else 0)

    @property
    def work(self) -> str:
        """What the job makes: the same bytes wherever it runs."""
        return self.name.partition(" ")[0]


_STILLS: Final = ("dream", "in/stills", "--guide", "in/guide.png", *QUICK)
_FILM: Final = ("dream", "in/clip.mp4", "--coherence", "flow", *QUICK)
_TILED: Final = ("dream", "in/large.png", *TILED)
_RUN: Final = ("train-style", "in/style.png", "--photos", "in/stills", *RUN)
_GAN: Final = (
    *("dcgan", "in/stills", "--preset", "dcgan64", "--width", "0.02", "--batch", "4"),
    *("--steps", "24", "--every", "4", "--threads", "1"),
)

_CHANGE: Final = re.compile(rb'"event": ?"frame"')

KINDS: Final = (
    Kind("stills", _STILLS, "out/", swapped="guide.png"),
    Kind("stills on a pool", _STILLS, "out/", swapped="guide.png", workers=2),
    Kind("film", _FILM, "out/film.mp4", swapped="clip.mp4"),
    Kind("film on a pool", _FILM, "out/film.mp4", swapped="clip.mp4", workers=2),
    Kind("tiled still on two workers", _TILED, "out/tiled.png", workers=2),
    Kind("run", _RUN, "out/"),
    Kind("shared run on two workers", _RUN, "out/", workers=2),
    Kind("gan", _GAN, "out/"),
    Kind("stills in a bucket", _STILLS, "out/", swapped="guide.png", is_remote=True),
    Kind(
        *("film in a bucket, on a pool", _FILM, "out/film.mp4"),
        swapped="clip.mp4",
        workers=2,
        is_remote=True,
    ),
    Kind("run in a bucket", _RUN, "out/", is_remote=True),
    Kind("gan in a bucket", _GAN, "out/", is_remote=True),
)


def draw_inputs(folder: Path, version: int, stills: int = 6) -> None:
    """Draw every input of every kind. version: changes those that trouble may replace."""
    (folder / "stills").mkdir(parents=True)
    for number in range(stills):
        _draw(folder / "stills" / f"p{number}.png", number)
    _draw(folder / "style.png", 20)
    _draw(folder / "large.png", 30, height=176, width=240)
    _draw(folder / "guide.png", 40 + version)
    options = {"sound": "aac", "times": range(20), "draw": lambda i: scene(i + 50 * version)}
    Clip(**options).write(folder / "clip.mp4")  # type: ignore[arg-type]


def _draw(path: Path, seed: int, height: int = 64, width: int = 96) -> None:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC).save(path)


@dataclass
class Job:
    """A job in a folder of its own, with its ledger, and every start of its command.

    ledger: its URL. mark: value of MARK in all processes. place: of its files, if they are in a
    bucket. starts: of the command, one after another.
    """

    kind: Kind
    folder: Path
    ledger: str
    mark: str
    servers: Servers
    place: Place | None = None
    starts: list["Start"] = field(default_factory=list)

    def start(self) -> "Start":
        """Start the command; with --resume, unless it is the first time."""
        resume = ("--resume",) if self.starts else ()
        workers = ("--workers", str(self.kind.workers)) if self.kind.workers else ()
        words = (*self.kind.words, "-o", self.kind.output)
        if self.place:
            words = tuple(self.place.url(w) if w.startswith(("in/", "out/")) else w for w in words)
        words = (*words, *workers, *resume, "--json")
        self.starts.append(Start(words, self, len(self.starts)))
        return self.starts[-1]

    def replace_input(self, other: Path) -> None:
        """Put another file in the place of an input of the same name, at once."""
        if self.place:
            self.place.put(other, f"in/{other.name}")
            return
        source = self.folder / "in" / other.name
        new = source.with_name(f"new-{source.name}")
        shutil.copy(other, new)
        new.replace(source)

    def outputs(self) -> dict[str, str]:
        """Return the SHA-256 of every output, hidden ones included."""
        return self.place.digests("out") if self.place else digests(self.out)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    @property
    def environment(self) -> dict[str, str]:
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        return (
            os.environ
            | self.servers.environment
            | {
                MARK: self.mark,
                "FARM_LEDGER": self.ledger,
                "FARM_CACHE": str(self.folder / "cache"),
                "RAY_TMPDIR": str(self.folder / "ray"),
                "TMPDIR": str(temporary),
            }
        )


class Start:
    """One start of a job's command, with its events in a file."""

    def __init__(self, words: tuple[str, ...], job: Job, number: int) -> None:
        self.words = words
        self.events = job.folder / f"start{number}.events"
        self.errors = job.folder / f"start{number}.stderr"
        with self.events.open("w") as out, self.errors.open("w") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "farm", *words],
                cwd=job.folder,
                env=job.environment,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    @property
    def count(self) -> int:
        """How often a frame has changed its state so far."""
        return len(_CHANGE.findall(self.events.read_bytes()))

    @property
    def has_ended(self) -> bool:
        return self.process.poll() is not None

    @property
    def stderr(self) -> str:
        return self.errors.read_text(errors="replace")


def new_job(
    kind: Kind, folder: Path, inputs: Path, servers: Servers, out: Path | None = None
) -> Job:
    """Create a job's folder with its inputs. out: where its output is to be, if elsewhere."""
    folder.mkdir()
    (folder / "ray").mkdir()
    place = Place(servers.client, folder.name) if kind.is_remote else None
    shutil.copytree(inputs, folder / "in")
    if place:
        for path in (folder / "in").rglob("*.*"):
            place.put(path, str(path.relative_to(folder)))
    if out:
        (folder / "out").symlink_to(out)
    ledger = f"sqlite:///{folder}/ledger.db"
    return Job(kind, folder, ledger, f"{os.getpid()}-{folder.name}", servers, place)


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below a folder, hidden ones included."""
    return {
        str(path.relative_to(folder)): sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
