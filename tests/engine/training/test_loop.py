"""A run that was stopped and resumed equals an uninterrupted one."""

import json
import multiprocessing
import re
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from farm.engine.training import loop
from farm.engine.training.loop import (
    Schedule,
    TrainingOptions,
    row_generator,
    shuffled_index,
    train,
)
from farm.engine.world import World
from farm.errors import BadInput, BadParameter, Cancelled, FarmError, OutputStorageFailed

from ..threads import Threads  # noqa: TID252 - shared with the tests of the world
from .runs import BATCH, STEPS, make_state, make_step, run


def losses(folder: Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (folder / loop.LOG).read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]


def digest_of_run(folder: Path, steps: int) -> str:
    torch.set_num_threads(1)
    return run(folder, steps).digest()


@pytest.mark.slow
def test_a_run_resumed_in_a_new_process_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    straight = run(tmp_path / "straight", STEPS).digest()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        pool.apply(digest_of_run, (tmp_path / "stopped", STEPS // 2))
        resumed = pool.apply(digest_of_run, (tmp_path / "stopped", STEPS))
    assert resumed == straight
    assert losses(tmp_path / "stopped") == losses(tmp_path / "straight")
    assert len(losses(tmp_path / "straight")) == STEPS


def test_a_run_can_be_stopped_at_any_step_and_repeatedly(tmp_path: Path) -> None:
    straight = run(tmp_path / "straight", STEPS)
    for steps in (3, 5, 12, STEPS):
        stopped = run(tmp_path / "stopped", steps)
    assert stopped.digest() == straight.digest()
    assert losses(tmp_path / "stopped") == losses(tmp_path / "straight")


def test_a_cancelled_run_writes_a_checkpoint_of_its_last_step(tmp_path: Path) -> None:
    def report(done: float, _note: str) -> None:
        if done >= 7 / STEPS:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(tmp_path, STEPS, report=report)
    assert loop.checkpoints(tmp_path)[-1].name == "step-00000007.safetensors"
    assert run(tmp_path, STEPS).digest() == run(tmp_path / "other", STEPS).digest()


def test_a_log_on_a_full_disk_is_an_error_of_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_full(path: Path, mode: str = "r", *args: object, **options: object) -> object:
        is_log = path.name == loop.LOG and mode == "a"
        return open("/dev/full", mode) if is_log else own_open(path, mode, *args, **options)  # noqa: PTH123 - Path.open is replaced

    own_open: Any = Path.open
    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(OutputStorageFailed, match=r"log\.jsonl: the disk is full"):
        run(tmp_path, STEPS)
    monkeypatch.undo()
    assert run(tmp_path, STEPS).digest() == run(tmp_path / "other", STEPS).digest()


def test_a_killed_run_resumes_from_the_last_valid_checkpoint(tmp_path: Path) -> None:
    run(tmp_path, 12)
    *_, last = loop.checkpoints(tmp_path)
    last.write_bytes(last.read_bytes()[:-100])
    with (tmp_path / loop.LOG).open("a") as file:
        file.write('{"step": 13, "lo')
    assert run(tmp_path, STEPS).digest() == run(tmp_path / "other", STEPS).digest()
    assert losses(tmp_path) == losses(tmp_path / "other")


def test_a_fallback_past_a_damaged_checkpoint_is_logged_once_and_in_every_note(
    tmp_path: Path,
) -> None:
    run(tmp_path, 12)
    *_, last = loop.checkpoints(tmp_path)
    last.write_bytes(last.read_bytes()[:-100])
    notes: list[str] = []
    run(tmp_path, STEPS, report=lambda _done, note: notes.append(note))
    said = re.compile(
        r"checkpoint step-00000012\.safetensors is (damaged|not a) .*; resumed from step 10$"
    )
    assert len(notes) == STEPS - 10
    assert all(said.search(note) for note in notes)
    lines = [json.loads(line) for line in (tmp_path / loop.LOG).read_text().splitlines()]
    (warned,) = [line for line in lines if "warning" in line]
    assert warned["step"] == 11
    assert said.match(warned["warning"])


def resume_on_all(folders: Sequence[Path]) -> list[str]:
    """Resume with one worker per folder; return how each ended: its final digest or its error."""
    workers = Threads(len(folders))

    def program(world: World) -> str:
        world = replace(world, all_reduce=lambda _tensor: None)
        state = make_state()
        options = TrainingOptions(folders[world.rank], 12, BATCH, every=5)
        try:
            train(state, make_step(world), options, world=world)
        except FarmError as error:
            return str(error)
        return f"step {state.step}"

    return workers.run(program)


def test_all_workers_resume_from_the_checkpoint_that_the_first_one_chooses(
    tmp_path: Path,
) -> None:
    run(tmp_path / "first", 10)
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    newest = loop.checkpoints(tmp_path / "first")[-1]
    newest.write_bytes(b"damaged")
    assert resume_on_all([tmp_path / "first", tmp_path / "second"]) == ["step 12"] * 2
    told = (tmp_path / "first" / loop.LOG).read_text()
    assert "resumed from step 5" in told


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (
            None,
            "worker 1 resumes from it, but worker 2 of 2 finds that it is not a training checkpoint",
        ),
        ("other", "worker 1 resumes from it, but worker 2 of 2 reads another file under this name"),
    ],
)
def test_a_worker_that_cannot_read_the_same_checkpoint_ends_the_attempt(
    tmp_path: Path, content: str | None, reason: str
) -> None:
    run(tmp_path / "first", 5)
    shutil.copytree(tmp_path / "first", tmp_path / "second")
    (copy,) = loop.checkpoints(tmp_path / "second")
    if content is None:
        copy.unlink()
    else:
        other = make_state()
        other.step = 5
        other.save(copy)
    first, second = resume_on_all([tmp_path / "first", tmp_path / "second"])
    assert first == "step 12"
    assert second.startswith(f"{copy}: {reason}")


def test_workers_that_start_from_different_states_are_refused(tmp_path: Path) -> None:
    def program(world: World) -> str:
        state = make_state()
        with torch.no_grad():
            next(state.modules["net"].parameters()).add_(world.rank)
        options = TrainingOptions(tmp_path / str(world.rank), 1, BATCH)
        try:
            train(state, make_step(), options, world=replace(world, all_reduce=lambda _: None))
        except FarmError as error:
            return str(error)
        return "done"

    first, second = Threads(2).run(program)
    assert first == "done"
    assert second.startswith("worker 2 of 2 starts from another state than worker 1; a run must")


def test_only_the_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    run(tmp_path, STEPS)
    assert [p.stem for p in loop.checkpoints(tmp_path)] == [
        "step-00000010",
        "step-00000015",
        "step-00000020",
    ]


def test_a_run_with_other_facts_is_not_resumed(tmp_path: Path) -> None:
    run(tmp_path, 5)
    with pytest.raises(
        BadInput, match=r"belongs to another run: style was None and is now 'wave\.jpg'; choose"
    ):
        train(make_state(style="wave.jpg"), make_step(), TrainingOptions(tmp_path, STEPS, BATCH))


def test_a_folder_with_only_damaged_checkpoints_is_refused(tmp_path: Path) -> None:
    run(tmp_path, 5)
    for path in loop.checkpoints(tmp_path):
        path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="is not a training checkpoint"):
        run(tmp_path, STEPS)


def test_each_checkpoint_comes_with_a_picture(tmp_path: Path) -> None:
    run(tmp_path, 10, show=lambda: torch.full((1, 3, 8, 8), 0.5))
    assert len(list((tmp_path / loop.CHECKPOINTS).glob("*.png"))) == 2


@given(st.integers(1, 50), st.integers(0, 2**40), st.integers(0, 3))
def test_every_epoch_draws_each_sample_once(count: int, seed: int, epoch: int) -> None:
    order = [shuffled_index(seed, count, epoch * count + n) for n in range(count)]
    assert sorted(order) == list(range(count))


@given(st.integers(1, 12), st.integers(0, 40))
def test_each_row_belongs_to_one_worker(size: int, more: int) -> None:
    dealt = [row for rank in range(size) for row in World(rank, size).rows(size + more)]
    assert sorted(dealt) == list(range(size + more))


def test_a_batch_smaller_than_the_world_is_refused() -> None:
    with pytest.raises(BadParameter, match="batch: 2 pictures are too few for 3 workers; use a"):
        World(0, 3).rows(2)


def test_random_numbers_depend_on_seed_step_row_and_use() -> None:
    draws = {
        torch.rand(1, generator=row_generator(*key)).item()
        for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0, "noise"))
    }
    assert len(draws) == 5


def test_the_schedule_rises_then_falls() -> None:
    fractions = [Schedule(100, warm_up=10, last=0.1).share(step) for step in range(101)]
    assert fractions[0] == pytest.approx(0.1)
    assert max(fractions) == max(fractions[5:20])
    assert fractions[20:] == sorted(fractions[20:], reverse=True)
    assert fractions[100] == pytest.approx(0.1)
