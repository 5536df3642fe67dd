"""A rendered picture contains its record, and keeps alpha, depth and orientation."""

import json

import numpy as np
import pytest
from PIL import Image, ImageOps

from farm.media import read_still
from farm.storage import sha256_file
from farm_networks.starter import WEIGHTS

from .conftest import QUICK, Command, draw

pytestmark = pytest.mark.slow

SUFFIXES = (".png", ".jpg", ".webp", ".tif")
UPRIGHT = "turned.jpg"
DEEP = "deep.png"
CLEAR = "clear.png"
ORIENTATION = 274


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Command:
    """A job over every kind of picture, from folder in to folder out."""
    command = Command(tmp_path_factory.mktemp("show"))
    folder = command.folder / "in"
    for suffix in SUFFIXES:
        draw(folder / f"plain{suffix.strip('.')}{suffix}")
    draw(folder / CLEAR, mode="RGBA", seed=1)
    ramp = np.linspace(1000, 60000, 64 * 96).reshape(64, 96).astype(np.uint16)
    Image.fromarray(ramp).save(folder / DEEP)
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    Image.open(draw(folder / UPRIGHT, seed=2)).save(folder / UPRIGHT, exif=exif, quality=95)
    done = command.run("dream", "in", "-o", "out/", *QUICK, "--seed", "7", "--step", "0.5")
    assert done.returncode == 0, done.stderr
    assert len(list((command.folder / "out").iterdir())) == len(list(folder.iterdir()))
    return command


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_contains_its_record(shown: Command, suffix: str) -> None:
    name = f"plain{suffix.strip('.')}"
    record = json.loads(shown.run("show", f"out/{name}{suffix}", "--json").stdout)
    assert record["task"] == "dream"
    assert (record["params"]["iterations"], record["params"]["layers"]) == (1, ["conv3"])
    assert (record["params"]["step"], record["params"]["scale"]) == (0.5, 1.4)
    assert (record["plan"]["seed"], record["plan"]["threads"]) == (7, 1)
    assert record["source"]["name"] == f"{name}{suffix}"
    assert record["source"]["sha256"] == sha256_file(shown.folder / "in" / f"{name}{suffix}")
    assert record["networks"] == {"starter": sha256_file(WEIGHTS)}


def test_show_prints_one_field_per_line(shown: Command) -> None:
    done = shown.run("show", "out/plainjpg.jpg")
    assert done.returncode == 0
    fields = dict(line.split("\t") for line in done.stdout.splitlines())
    assert fields["task"] == "dream"
    assert fields["params.step"] == "0.5"
    assert fields["plan.seed"] == "7"


def test_a_picture_without_a_record_is_refused(shown: Command) -> None:
    done = shown.run("show", "in/plainpng.png")
    assert done.returncode == 2
    assert done.stderr == (
        "farm: in/plainpng.png: has no record; the farm did not write it, or it was edited since\n"
    )


def test_alpha_is_kept(shown: Command) -> None:
    before, after = (np.asarray(Image.open(shown.folder / f / CLEAR)) for f in ("in", "out"))
    assert np.array_equal(after[..., 3], before[..., 3])
    assert not np.array_equal(after[..., :3], before[..., :3])


def test_16_bits_stay_16_bits(shown: Command) -> None:
    written = shown.folder / "out" / DEEP
    assert written.read_bytes()[24] == 16, "bits per channel in the header"
    levels = read_still(str(written)).pixels * 255
    assert np.abs(levels - levels.round()).mean() == pytest.approx(0.25, abs=0.02)


def test_a_rotated_photograph_is_written_upright(shown: Command) -> None:
    turned = Image.open(shown.folder / "in" / UPRIGHT)
    written = Image.open(shown.folder / "out" / UPRIGHT)
    assert (turned.size, written.size) == ((96, 64), (64, 96))
    assert written.getexif().get(ORIENTATION, 1) == 1
    upright = np.asarray(ImageOps.exif_transpose(turned)).ravel()
    assert np.corrcoef(upright, np.asarray(written).ravel())[0, 1] > 0.98
