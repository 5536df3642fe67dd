"""farm evaluate measures checkpoints, keeps the figures with the run, and leaves the run alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from farm.engine.training import TrainState
from farm.media import read_record

from .conftest import Command

pytestmark = pytest.mark.slow


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder of twelve pictures of noise, one of them damaged."""
    folder = tmp_path / "data"
    folder.mkdir()
    draws = np.random.default_rng(1)
    for number in range(12):
        levels = draws.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        picture = Image.fromarray(levels).resize((40, 48), Image.Resampling.BILINEAR)
        picture.save(folder / f"{number:02}.png")
    (folder / "11.png").write_bytes(b"damaged")
    return folder


def entries(run: Path) -> list[dict[str, Any]]:
    return list(json.loads((run / "evaluation.json").read_text())["evaluations"])


@pytest.fixture(autouse=True)
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let Inception's weights be missing, and their download fail at once."""
    from farm.engine.measures import inception

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    monkeypatch.setattr(inception, "_url", lambda: "http://127.0.0.1:9/inception-0cc3c7bd.pth")


def test_figures_that_need_no_weights_are_measured_and_the_others_named(
    command: Command, run: Path, data: Path
) -> None:
    done = command("evaluate", run, "--data", data, "--count", 8)
    assert done.code == 0, done.errors
    heading, row, of_data = (line.split("\t") for line in done.results.splitlines())
    assert heading == ["step", "swd 32", "swd 16", "ms-ssim", "duplicates", "nearest"]
    assert (row[0], of_data[0]) == ("4", "data")
    assert float(row[1]) > 0
    assert 0 < float(of_data[3]) < float(row[3]) <= 1
    notes = done.errors.splitlines()
    assert notes[0] == "8 samples were compared with 8 pictures of the data, at 32x32"
    assert notes[1].startswith("pictures of the data that cannot be read: 1, such as ")
    assert notes[2].startswith("KID, FID and Inception Score were not measured: ")
    assert notes[2].endswith("by other means, or give its file with --inception")


def test_the_file_of_a_run_says_what_was_measured_and_with_what(
    command: Command, run: Path, data: Path
) -> None:
    printed = json.loads(command("evaluate", run, "--data", data, "--count", 8, "--json").results)
    (entry,) = entries(run)
    assert printed == [entry]
    assert (entry["step"], entry["pictures"], entry["seed"]) == (4, 8, 0)
    assert entry["size"] == {"height": 32, "width": 32}
    assert entry["data"]["name"] == "data"
    assert len(entry["data"]["sha256"]) == len(entry["checkpoint"]) == 64
    assert entry["inception"].startswith("not measured: ")
    assert entry["fid"] is None
    assert {"neural-render-farm", "torch", "torchmetrics"} <= set(entry["versions"])


def test_every_checkpoint_is_measured_and_a_repetition_replaces_its_figures(
    command: Command, run: Path, data: Path
) -> None:
    words = ("evaluate", run, "--data", data, "--count", 8)
    done = command(*words, "--every-checkpoint")
    assert [line.split("\t")[0] for line in done.results.splitlines()[1:]] == [
        "2",
        "3",
        "4",
        "data",
    ]
    before = entries(run)
    command("evaluate", f"{run}@3", *words[2:])
    assert entries(run) == before
    command(*words, "--seed", 1)
    assert [entry["step"] for entry in entries(run)] == [2, 3, 4, 4]


def test_a_data_set_smaller_than_the_count_is_used_as_a_whole(
    command: Command, run: Path, data: Path
) -> None:
    done = command("evaluate", run, "--data", data)
    assert done.errors.startswith(
        "11 samples were compared with 11 pictures of the data, at 32x32, which is all that the data has"
    )
    assert entries(run)[0]["pictures"] == 11


def test_the_sheet_shows_a_copied_picture_beside_its_original(
    command: Command, run: Path, data: Path, tmp_path: Path
) -> None:
    command("sample", run, "-o", "single/", "--count", 5)
    copied = Image.open(tmp_path / "single" / "0004.png")
    copied.save(data / "05.png")
    command("evaluate", run, "--data", data, "--count", 5, "-o", "sheet.png")
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * 34 + 2, 4 * 66 + 2, 3)
    left, right = sheet[2:34, 2:34], sheet[2:34, 34:66]
    assert (left == np.asarray(copied)).all()
    assert (right == left).all()
    record = read_record(str(tmp_path / "sheet.png"))
    assert record is not None
    assert (record["step"], record["data"]["name"]) == (4, "data")


def test_other_pictures_than_those_of_the_run_are_said_to_be(
    command: Command, run: Path, data: Path
) -> None:
    words = ("evaluate", run, "--data", data, "--count", 4)
    note = "is not what the run was trained on"
    assert note not in command(*words).errors
    facts = {"sha256 of the pictures": "0" * 64}
    modules = {"generator": command.blots.make_generator()}
    TrainState(modules, {}, 0, facts, step=5).save(
        run / "checkpoints" / "step-00000005.safetensors"
    )
    assert f"{data}: {note}\n" in command(*words).errors


def test_a_run_that_draws_the_same_picture_always_has_only_duplicates(
    command: Command, run: Path, data: Path
) -> None:
    generator = command.blots.make_generator()
    with torch.no_grad():
        next(generator.parameters()).zero_()
    state = TrainState({"generator": generator}, {}, 0)
    state.save(run / "checkpoints" / "step-00000005.safetensors")
    command("evaluate", run, "--data", data, "--count", 8)
    (entry,) = entries(run)
    assert entry["duplicates"] == 1
    assert entry["similarity"] == pytest.approx(1, abs=1e-4)
    assert entry["data_duplicates"] == 0


def test_inceptions_figures_come_from_a_file(
    command: Command, run: Path, data: Path, tmp_path: Path
) -> None:
    from torchvision.models import inception_v3

    with torch.random.fork_rng():
        module = inception_v3(weights=None, init_weights=False, aux_logits=False)
    torch.save(module.state_dict(), tmp_path / "stand-in.pth")
    words = ("evaluate", run, "--data", data, "--count", 4, "--inception", "stand-in.pth")
    done = command(*words)
    assert done.code == 0, done.errors
    heading, row, _ = (line.split("\t") for line in done.results.splitlines())
    assert heading[:4] == ["step", "kid", "fid", "inception score"]
    assert float(row[3]) >= 1
    assert "the FID of fewer than 10000 pictures is too high; compare the KID" in done.errors
    facts = entries(run)[0]["inception"]
    assert (facts["network"], facts["splits"], len(facts["sha256"])) == ("inception_v3", 1, 64)


REFUSED = {
    "no data": (["--data", "none"], "none: no such"),
    "one picture": (["--data", "single"], "only 1 of 1 training pictures can be read"),
    "no weights in it": (
        ["--data", "data", "--inception", "data/00.png"],
        "--inception: data/00.png is ",
    ),
    "no file": (
        ["--data", "data", "--inception", "none.pth"],
        "--inception: no such file: none.pth",
    ),
    "sheet is a film": (["--data", "data", "-o", "sheet.mp4"], "its suffix must be one of .png"),
    "one sample": (["--data", "data", "--count", "1"], "'1' is not allowed; give a whole number"),
    "damaged file": (["--data", "damaged"], "evaluation.json: is damaged; move it away"),
}


@pytest.mark.parametrize("words", REFUSED.values(), ids=REFUSED)
def test_a_wrong_request_is_refused_in_one_line(
    command: Command, run: Path, data: Path, words: tuple[list[str], str]
) -> None:
    given, reason = words
    (data.parent / "single").mkdir()
    (data.parent / "single" / "1.png").write_bytes((data / "00.png").read_bytes())
    if given[1] == "damaged":
        (run / "evaluation.json").write_text("[]")
        given = ["--data", "data"]
    done = command("evaluate", run, *given)
    assert done.code == 2, done.errors
    (line,) = done.errors.splitlines()
    assert reason in line


def test_sampling_and_measuring_do_not_change_a_run(
    command: Command, data: Path, tmp_path: Path
) -> None:
    """A run that is resumed afterwards ends in the same state as one that nobody looked at."""
    start = ("blots", data, "--threads", "1", "--steps")
    assert command(*start, 6, "-o", "straight").code == 0
    assert command(*start, 3, "-o", "watched").code == 0
    checkpoint = tmp_path / "watched" / "checkpoints" / "step-00000003.safetensors"
    before = checkpoint.read_bytes()
    for words in (("-o", "grid.png"), ("-o", "single/"), ("-o", "walk.mp4", "--frames", 4)):
        assert command("sample", "watched", *words).code == 0
    done = command("evaluate", "watched", "--data", data, "--every-checkpoint", "-o", "sheet.png")
    assert done.code == 0, done.errors
    assert checkpoint.read_bytes() == before
    assert command(*start, 6, "-o", "watched", "--resume").code == 0
    digests = [(tmp_path / name / "blots.txt").read_text() for name in ("straight", "watched")]
    assert digests[0] == digests[1]
