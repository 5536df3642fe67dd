"""A run's folder says what was trained, and which checkpoints there are."""

import json
from pathlib import Path

import pytest

from farm.engine.training.runs import checkpoints, find_checkpoint, read_run
from farm.errors import BadInput


def make_run(folder: Path, *steps: int) -> Path:
    (folder / "checkpoints").mkdir(parents=True)
    for step in steps:
        (folder / "checkpoints" / f"step-{step:08}.safetensors").touch()
    facts = {"task": "paint", "params": {"steps": 20}}
    (folder / "run.json").write_text(json.dumps(facts))
    return folder


def test_a_run_tells_its_task_and_parameters(tmp_path: Path) -> None:
    facts = read_run(make_run(tmp_path / "run"))
    assert (facts.task, facts.params) == ("paint", {"steps": 20})


def test_the_newest_checkpoint_is_the_one_of_the_highest_step(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 100, 99_999_999, 100_000_000)
    assert list(checkpoints(run)) == [100, 99_999_999, 100_000_000]
    assert find_checkpoint(run).name == "step-100000000.safetensors"
    assert find_checkpoint(run, 100).name == "step-00000100.safetensors"


def test_other_files_beside_the_checkpoints_are_ignored(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 100)
    (run / "checkpoints" / "step-best.safetensors").touch()
    (run / "checkpoints" / "step-00000200.png").touch()
    assert list(checkpoints(run)) == [100]


def test_a_step_without_a_checkpoint_is_refused_with_those_there_are(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 100, 200)
    with pytest.raises(BadInput, match="no checkpoint at step 150; choose one of 100, 200"):
        find_checkpoint(run, 150)
    many = make_run(tmp_path / "many", *range(1, 21))
    with pytest.raises(BadInput, match=r"choose one of \.\.\., 13, 14, 15, 16, 17, 18, 19, 20$"):
        find_checkpoint(many, 50)


def test_a_run_without_checkpoints_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no checkpoint yet; wait until it writes one"):
        find_checkpoint(make_run(tmp_path / "run"))


def test_what_is_no_run_is_refused_by_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    cases = {tmp_path / "gone": "no such folder", file: "is a file", tmp_path: "contains no run"}
    for path, reason in cases.items():
        with pytest.raises(BadInput, match=reason):
            read_run(path)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        '{"task": "paint"}',
        '{"task": "x", "params": 3}',
        "[" * 100_000,
        '{"task": "x", "params": {}}' + " " * 2**20,
    ],
    ids=["empty", "list", "task", "params", "deep", "large"],
)
def test_a_damaged_description_is_refused(tmp_path: Path, content: str) -> None:
    run = make_run(tmp_path / "run")
    (run / "run.json").write_text(content)
    with pytest.raises(BadInput, match="does not describe a run"):
        read_run(run)
