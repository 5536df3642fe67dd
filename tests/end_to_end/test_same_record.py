"""The bytes of an output depend on what files contain, not on where they are."""

import json
from pathlib import Path
from typing import Any

import pytest

from farm.storage import sha256_file
from farm_networks.starter import WEIGHTS
from farm_style.names import find

from .conftest import QUICK, Command, bytes_of, draw

pytestmark = pytest.mark.slow

JOBS: dict[str, tuple[str, ...]] = {
    "dream": ("dream", "in", "--guide", "more/guide.png", "--mask", "more/mask.png", *QUICK),
    "weights": ("dream", "in", "--weights", "more/weights.safetensors", *QUICK),
    "style": (
        *("style", "in", "--style", "more/guide.png=0.5", "--style", "more/mask.png"),
        *("--start", "more/guide.png", "--iterations", "1", "--scales", "1", "--threads", "1"),
    ),
    "fast": ("style", "in", "--fast", "more/trained.safetensors", "--threads", "1"),
    "folder": ("style", "in", "--fast", "more/run", "--threads", "1"),
    "shipped": ("style", "in", "--fast", "--threads", "1"),
}


def place(folder: Path) -> Command:
    """Put the same inputs into a folder."""
    folder.mkdir(parents=True)
    draw(folder / "in" / "picture.png", seed=1)
    draw(folder / "more" / "guide.png", seed=2)
    draw(folder / "more" / "mask.png", seed=3)
    (folder / "more" / "weights.safetensors").write_bytes(WEIGHTS.read_bytes())
    (folder / "more" / "run").mkdir()
    for name in ("trained.safetensors", "run/generator.safetensors"):
        (folder / "more" / name).write_bytes(Path(find("eddies")).read_bytes())
    return Command(folder)


def record_of(command: Command) -> dict[str, Any]:
    done = command.run("show", "out/picture.png", "--json")
    record: dict[str, Any] = json.loads(done.stdout)
    return record


@pytest.mark.parametrize("job", JOBS)
def test_the_same_job_in_another_folder_writes_the_same_bytes(job: str, tmp_path: Path) -> None:
    written = []
    for folder in (tmp_path / "here", tmp_path / "a private" / "place"):
        command = place(folder)
        done = command.run(*JOBS[job], "-o", "out/")
        assert done.returncode == 0, done.stderr
        written.append(bytes_of(folder / "out"))
        assert str(tmp_path) not in json.dumps(record_of(command))
    assert written[0] == written[1]


def test_a_record_names_every_file_with_its_digest(tmp_path: Path) -> None:
    command = place(tmp_path / "here")
    command.run(*JOBS["style"], "-o", "out/")
    digests = {
        name: sha256_file(tmp_path / "here" / "more" / f"{name}.png") for name in ("guide", "mask")
    }
    params = record_of(command)["params"]
    assert params["styles"] == [
        {"name": "guide.png=0.5", "sha256": digests["guide"]},
        {"name": "mask.png", "sha256": digests["mask"]},
    ]
    assert params["start"] == {"name": "guide.png", "sha256": digests["guide"]}
    assert params["network"] == "starter"
    shown = command.run("show", "out/picture.png").stdout
    assert f"params.start.sha256\t{digests['guide']}" in shown


@pytest.mark.parametrize(
    ("job", "name"), [("fast", "trained.safetensors"), ("folder", "run"), ("shipped", "eddies")]
)
def test_the_record_of_a_trained_network_names_it_and_no_other(
    job: str, name: str, tmp_path: Path
) -> None:
    command = place(tmp_path / "here")
    command.run(*JOBS[job], "-o", "out/")
    record = record_of(command)
    assert record["params"]["fast"] == {"name": name, "sha256": sha256_file(Path(find("eddies")))}
    assert record["networks"] == {}
    assert not {"network", "weights"} & {*record["params"]}
