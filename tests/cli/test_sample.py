"""farm sample draws grids, pictures and films from a checkpoint, and leaves the run alone."""

import json
import re
import shutil
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from farm.cli.run_checkpoint import split
from farm.engine.training import TrainState
from farm.media import read_record
from farm.media.film import read_film, read_film_record
from farm.storage import sha256_file

from .conftest import Command

pytestmark = pytest.mark.slow

Sample = Callable[..., str]


@pytest.fixture
def sample(command: Command, run: Path) -> Sample:
    """Draw from the run and return what was printed: ``sample("-o", "grid.png")``."""

    def draw(*words: object, of: object = run) -> str:
        done = command("sample", of, *words)
        assert done.code == 0, done.errors
        return done.results

    return draw


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path))


def test_a_grid_has_one_picture_for_each_latent_at_their_own_levels(
    sample: Sample, tmp_path: Path
) -> None:
    printed = sample("-o", "grid.png", "--count", 6, "--seed", 3)
    sample("-o", "single/", "--count", 6, "--seed", 3)
    grid = pixels(tmp_path / "grid.png")
    assert grid.shape == (2 * 34 + 2, 3 * 34 + 2, 3)
    for number in range(6):
        row, column = divmod(number, 3)
        top, left = 2 + 34 * row, 2 + 34 * column
        single = pixels(tmp_path / "single" / f"{number + 1:04}.png")
        assert (grid[top : top + 32, left : left + 32] == single).all()
    assert printed == "grid.png: from step 4 of run\n"


def test_the_seed_chooses_the_pictures_and_the_step_the_checkpoint(
    sample: Sample, tmp_path: Path, run: Path
) -> None:
    for name, words in {
        "a": ("--seed", 3),
        "again": ("--seed", 3),
        "other": ("--seed", 4),
    }.items():
        sample("-o", f"{name}.png", "--count", 4, *words)
    sample("-o", "early.png", "--count", 4, "--seed", 3, of=f"{run}@2")
    a, again, other, early = (
        (tmp_path / f"{name}.png").read_bytes() for name in ("a", "again", "other", "early")
    )
    assert a == again
    assert len({a, other, early}) == 3


def test_a_row_of_an_interpolation_leads_from_one_picture_to_another(
    sample: Sample, tmp_path: Path
) -> None:
    sample("-o", "rows/", "--count", 10, "--interpolate", 5)
    sample("-o", "ends/", "--count", 4)
    rows = [pixels(tmp_path / "rows" / f"{n:04}.png").astype(int) for n in range(1, 11)]
    ends = [pixels(tmp_path / "ends" / f"{n:04}.png").astype(int) for n in range(1, 5)]
    for found, expected in zip((rows[0], rows[4], rows[5], rows[9]), ends, strict=True):
        assert abs(found - expected).max() <= 1
    steps = [abs(b - a).mean() for a, b in pairwise(rows[:5])]
    assert max(steps) < abs(rows[4] - rows[0]).mean()


def test_a_film_walks_through_the_pictures_and_loops(sample: Sample, tmp_path: Path) -> None:
    sample("-o", "walk.mkv", "--count", 3, "--frames", 12, "--rate", 12)
    film = read_film(str(tmp_path / "walk.mkv"))
    assert (len(film.times), film.height, film.width) == (12, 32, 32)
    assert film.duration(0) * film.time_base == pytest.approx(1 / 12, rel=0.02)
    with av.open(tmp_path / "walk.mkv") as container:
        frames = [f.to_ndarray(format="rgb24").astype(int) for f in container.decode(video=0)]
    steps = [abs(b - a).mean() for a, b in pairwise([*frames, frames[0]])]
    assert steps[-1] < 2 * max(steps[:-1])
    assert min(steps) > 0


def test_a_film_may_be_a_gif(sample: Sample, tmp_path: Path) -> None:
    sample("-o", "walk.gif", "--frames", 5)
    with Image.open(tmp_path / "walk.gif") as gif:
        assert (getattr(gif, "n_frames", 1), gif.info["loop"]) == (5, 0)


def test_outputs_contain_a_record_of_the_checkpoint(
    sample: Sample, tmp_path: Path, run: Path
) -> None:
    printed = json.loads(sample("-o", "grid.png", "--count", 4, "--seed", 3, "--json"))
    sample("-o", "single/", "--count", 2)
    sample("-o", "walk.mp4", "--frames", 4)
    record = read_record(str(tmp_path / "grid.png"))
    assert record is not None
    assert printed == {"output": "grid.png"} | record
    assert (record["task"], record["run"], record["step"]) == ("blots", "run", 4)
    assert (record["seed"], record["drawn"]) == (3, {"pictures": 4})
    checkpoint = run / "checkpoints" / "step-00000004.safetensors"
    assert record["checkpoint"] == {"name": checkpoint.name, "sha256": sha256_file(checkpoint)}
    assert str(tmp_path) not in json.dumps(record)
    single = read_record(str(tmp_path / "single" / "0002.png"))
    assert single is not None
    assert single["number"] == 2
    film = read_film_record(str(tmp_path / "walk.mp4"))
    assert film is not None
    assert film["drawn"] == {"frames": 4, "stops": 8}


@pytest.mark.parametrize(
    ("output", "file"), [("a.png", "a.png"), ("a.gif", "a.gif"), ("out/", "out/0002.png")]
)
def test_files_are_replaced_only_if_that_is_asked_for(
    command: Command, run: Path, output: str, file: str
) -> None:
    words = "sample", run, "-o", output, "--count", 2
    taken = run.parent / file
    taken.parent.mkdir(exist_ok=True)
    taken.write_bytes(b"mine")
    refused = command(*words)
    assert refused.code == 2
    assert refused.errors.endswith(f"{file}: it exists; add --overwrite to replace it\n")
    assert (taken.read_bytes(), [*taken.parent.glob("0001.png")]) == (b"mine", [])
    assert command(*words, "--overwrite").code == 0
    assert taken.read_bytes() != b"mine"


def test_older_pictures_in_the_folder_stay_and_are_named(command: Command, run: Path) -> None:
    command("sample", run, "-o", "out/", "--count", 3)
    done = command("sample", run, "-o", "out/", "--count", 2, "--overwrite")
    assert done.errors == "out also contains 1 older pictures, such as 0003.png\n"
    assert (run.parent / "out" / "0003.png").exists()


def test_a_folder_whose_name_ends_like_a_step_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "cats@64").mkdir()
    assert split(f"{tmp_path}/cats@64") == (f"{tmp_path}/cats@64", None)
    assert split(f"{tmp_path}/cats@64@200") == (f"{tmp_path}/cats@64", 200)
    assert split(f"{tmp_path}/cats@200") == (f"{tmp_path}/cats", 200)


def copy(run: Path, name: str, **facts: object) -> Path:
    """Copy a run under another name. facts: to replace in run.json."""
    other = run.with_name(name)
    shutil.copytree(run, other)
    content = json.loads((other / "run.json").read_text()) | facts
    (other / "run.json").write_text(json.dumps(content))
    return other


def test_files_that_the_run_was_started_with_may_be_gone(command: Command, run: Path) -> None:
    palette = {"name": "palette.txt", "sha256": "0" * 64}
    copy(run, "moved", params={"palettes": [palette]})
    done = command("sample", "moved", "-o", "grid.png", "--count", 4)
    assert done.code == 0, done.errors


@pytest.fixture
def runs(run: Path) -> Path:
    """A folder of runs that are wrong in some way."""
    copy(run, "silent", task="silent", params={})
    copy(run, "foreign", task="unheard-of")
    copy(run, "other", params={"speed": 3})
    shutil.rmtree(copy(run, "young") / "checkpoints")
    (copy(run, "damaged") / "checkpoints" / "step-00000004.safetensors").write_bytes(b"x" * 99)
    (run.parent / "empty").mkdir()
    return run.parent


REFUSED = {
    "no such run": (["none"], "none: no such folder; give the folder of a run"),
    "no run in it": (["empty"], "empty: this folder contains no run: it has no run.json"),
    "no such step": (["run@9"], "run: no checkpoint at step 9; choose one of 2, 3, 4"),
    "draws nothing": (["silent"], "task 'silent' draws no pictures; give a run that trains a"),
    "no checkpoint yet": (["young"], "young: this run has no checkpoint yet; wait until"),
    "unknown task": (["foreign"], "unknown task 'unheard-of'"),
    "other parameters": (["other"], "another version of task 'blots', which took other parameters"),
    "damaged": (["damaged"], "step-00000004.safetensors: is not a training checkpoint"),
    "URL": (["ftp://bucket/run"], "ftp://bucket/run/run.json: ftp:// URLs are not supported"),
    "film with rows": (["run", "-o", "a.mp4", "--interpolate", "4"], "--interpolate makes rows"),
    "frames of a grid": (["run", "--frames", "4"], "--frames and --rate are for a film"),
    "sequence": (["run", "-o", "a_%04d.png"], "numbered pictures are not written here"),
    "suffix": (["run", "-o", "grid.bmp"], "unsupported suffix '.bmp'"),
    "checkpoints": (
        ["run", "-o", "run/checkpoints/step-00000004.png"],
        "run/checkpoints is an input; choose a path outside it",
    ),
    "no pictures": (["run", "--count", "0"], "'0' is not allowed"),
}


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_a_wrong_request_is_refused_in_one_line(
    command: Command, runs: Path, words: tuple[list[str], str]
) -> None:
    given, reason = words
    before = sorted(runs.rglob("*"))
    done = command("sample", *given, *([] if "-o" in given else ["-o", "grid.png"]))
    assert done.code == 2, done.errors
    (line,) = done.errors.splitlines()
    assert re.search(re.escape(reason), line), line
    assert sorted(runs.rglob("*")) == before


def test_a_diverged_checkpoint_is_refused_and_no_picture_appears(
    command: Command, run: Path
) -> None:
    generator = command.blots.make_generator()
    with torch.no_grad():
        next(generator.parameters()).fill_(torch.nan)
    TrainState({"generator": generator}, {}, 0).save(
        run / "checkpoints" / "step-00000005.safetensors"
    )
    for output in ("grid.png", "single/", "film.mp4"):
        done = command("sample", run, "-o", output)
        assert done.code == 2
        assert "the run has diverged; choose an earlier checkpoint with RUN@STEP" in done.errors
        assert not [*run.parent.glob("grid.png"), *run.parent.glob("single/*")]
