"""A run that was stopped and resumed equals an uninterrupted one."""

import json
import multiprocessing
import re
import shutil
from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from farm.engine.training import (
    Decision,
    Observation,
    Schedule,
    StepResult,
    TrainingOptions,
    TrainState,
    row_generator,
    shuffled_index,
)
from farm.engine.training.contract import StepRecord
from farm.engine.training.loop import train
from farm.engine.training.runs import (
    CHECKPOINTS,
    LOG,
    SKIPPED,
    checkpoints,
    describe_skipped,
    skipped_pictures,
)
from farm.engine.world import ALONE, World
from farm.errors import (
    BadInput,
    BadParameter,
    Cancelled,
    FarmError,
    StorageUnavailable,
    UserError,
)
from farm.model.messages import TrainingFigures

from ..threads import Threads  # noqa: TID252 - shared with the tests of the world
from .runs import BATCH, STEPS, make_state, make_step, run


def losses(folder: Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (folder / LOG).read_text().splitlines())
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
    with pytest.raises(Cancelled):
        run(tmp_path, STEPS, report=stop_at(7))
    assert list(checkpoints(tmp_path).values())[-1].name == "step-00000007.safetensors"
    assert run(tmp_path, STEPS).digest() == run(tmp_path / "other", STEPS).digest()


def test_a_log_on_a_full_disk_is_an_error_of_storage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def open_full(path: Path, mode: str = "r", *args: object, **options: object) -> object:
        is_log = path.name == LOG and mode == "a"
        return open("/dev/full", mode) if is_log else own_open(path, mode, *args, **options)  # noqa: PTH123 - Path.open is replaced

    own_open: Any = Path.open
    monkeypatch.setattr(Path, "open", open_full)
    with pytest.raises(StorageUnavailable, match=r"log\.jsonl: the disk is full"):
        run(tmp_path, STEPS)
    monkeypatch.undo()
    assert run(tmp_path, STEPS).digest() == run(tmp_path / "other", STEPS).digest()


def test_a_killed_run_resumes_from_the_last_valid_checkpoint(tmp_path: Path) -> None:
    run(tmp_path, 12)
    *_, last = checkpoints(tmp_path).values()
    last.write_bytes(last.read_bytes()[:-100])
    with (tmp_path / LOG).open("a") as file:
        file.write('{"step": 13, "lo')
    assert run(tmp_path, STEPS).digest() == run(tmp_path / "other", STEPS).digest()
    assert losses(tmp_path) == losses(tmp_path / "other")


def test_a_fallback_past_a_damaged_checkpoint_is_logged_once_and_in_every_note(
    tmp_path: Path,
) -> None:
    run(tmp_path, 12)
    *_, last = checkpoints(tmp_path).values()
    last.write_bytes(last.read_bytes()[:-100])
    notes: list[str] = []
    run(tmp_path, STEPS, report=lambda _done, note, _figures: notes.append(note))
    said = re.compile(
        r"checkpoint step-00000012\.safetensors is (damaged|not a) .*; resumed from step 10$"
    )
    assert len(notes) == STEPS - 10
    assert all(said.search(note) for note in notes)
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    (warned,) = [line for line in lines if "warning" in line]
    assert warned["step"] == 11
    assert said.match(warned["warning"])


def test_the_log_says_when_a_warning_begins_and_ends_also_if_the_run_resumes(
    tmp_path: Path,
) -> None:
    own_step = make_step()

    def step(state: TrainState, rows: range) -> StepResult:
        warning = "no colour" if 3 <= state.step < 8 else ""
        return replace(own_step(state, rows), warning=warning)

    for steps in (5, 12):
        train(make_state(), step, TrainingOptions(tmp_path, steps, BATCH, every=5))
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    changes = [(line["step"], line["warning"]) for line in lines if "warning" in line]
    assert changes == [(4, "no colour"), (9, "")]


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
    newest = list(checkpoints(tmp_path / "first").values())[-1]
    newest.write_bytes(b"damaged")
    assert resume_on_all([tmp_path / "first", tmp_path / "second"]) == ["step 12"] * 2
    told = (tmp_path / "first" / LOG).read_text()
    assert "resumed from step 5" in told


def test_only_the_first_worker_needs_the_folder_of_the_run(tmp_path: Path) -> None:
    run(tmp_path / "first", 5)
    assert resume_on_all([tmp_path / "first", tmp_path / "second"]) == ["step 12"] * 2
    assert not (tmp_path / "second").exists()


def test_a_run_of_several_workers_goes_back_without_a_shared_disk(tmp_path: Path) -> None:
    states = [make_state(), make_state()]  # not in threads, which share torch's random generator

    def program(world: World) -> TrainState:
        return supervised(tmp_path / str(world.rank), 10, world, states[world.rank])

    first, second = Threads(2).run(program)
    assert first.memory == second.memory == {"safe": 4, "decided": [8]}
    assert first.digest() == second.digest()
    assert not (tmp_path / "1").exists()


def test_a_worker_that_cannot_use_the_checkpoint_of_the_first_ends_the_attempt(
    tmp_path: Path,
) -> None:
    run(tmp_path, 5)
    states = [make_state(), make_state(data="other")]

    def program(world: World) -> str:
        world = replace(world, all_reduce=lambda _tensor: None)
        options = TrainingOptions(tmp_path, 12, BATCH, every=5)
        try:
            train(states[world.rank], make_step(world), options, world=world)
        except FarmError as error:
            return str(error)
        return "done"

    first, second = Threads(2).run(program)
    assert first == "done"
    assert second.startswith(
        "step-00000005.safetensors: worker 1 resumes from it, but worker 2 of 2 finds that it "
        "belongs to another run: data was None and is now 'other'"
    )


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
    assert [p.stem for p in checkpoints(tmp_path).values()] == [
        "step-00000010",
        "step-00000015",
        "step-00000020",
    ]


def test_a_damaged_checkpoint_does_not_take_the_place_of_the_only_valid_one(
    tmp_path: Path,
) -> None:
    run(tmp_path, 10)
    checkpoints(tmp_path)[10].write_bytes(b"damaged")
    few = TrainingOptions(tmp_path, STEPS, BATCH, every=7, kept=1)
    with pytest.raises(Cancelled):
        train(make_state(), make_step(), few, report=stop_at(7))
    state = make_state()
    train(state, make_step(), few)
    assert state.digest() == run(tmp_path / "other", STEPS).digest()


def test_a_run_has_advanced_when_it_has_a_checkpoint_beyond_its_first_one(tmp_path: Path) -> None:
    said: dict[int, bool] = {}

    def report(_done: float, _note: str, figures: TrainingFigures) -> None:
        said[figures.step] = figures.has_advanced

    run(tmp_path, 6, report=report)
    assert said == {step: step >= 5 for step in range(1, 7)}
    said.clear()
    run(tmp_path, 12, report=report)
    assert said == {step: step >= 10 for step in range(7, 13)}


def stop_at(step: int) -> Callable[..., None]:
    def report(done: float, *_: object) -> None:
        if done >= step / STEPS:
            raise Cancelled

    return report


def test_a_run_with_other_facts_is_not_resumed(tmp_path: Path) -> None:
    run(tmp_path, 5)
    with pytest.raises(
        BadInput, match=r"belongs to another run: style was None and is now 'wave\.jpg'; use that"
    ):
        train(make_state(style="wave.jpg"), make_step(), TrainingOptions(tmp_path, STEPS, BATCH))


def test_a_folder_with_only_damaged_checkpoints_is_refused(tmp_path: Path) -> None:
    run(tmp_path, 5)
    for path in checkpoints(tmp_path).values():
        path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="is not a training checkpoint"):
        run(tmp_path, STEPS)


def test_each_checkpoint_comes_with_a_picture(tmp_path: Path) -> None:
    grey = Observation({"grey": torch.full((1, 3, 8, 8), 0.5)}, {"accuracy": 0.5})
    run(tmp_path, 10, observe=lambda: grey)
    pictures = sorted(path.name for path in (tmp_path / CHECKPOINTS).glob("*.png"))
    assert pictures == ["step-00000005.grey.png", "step-00000010.grey.png"]


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


def test_a_run_is_not_shortened(tmp_path: Path) -> None:
    digest = run(tmp_path, 10).digest()
    with pytest.raises(UserError, match="has made 10 steps already, more than the 7 that are"):
        run(tmp_path, 7)
    assert run(tmp_path, 10).digest() == digest


def test_figures_of_a_checkpoint_are_in_the_log(tmp_path: Path) -> None:
    run(tmp_path, 10, observe=lambda: Observation(figures={"accuracy": 0.25}))
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert {line["step"]: line.get("accuracy") for line in lines} == {
        step: 0.25 if step % 5 == 0 else None for step in range(1, 11)
    }


def test_observing_moves_no_random_generator(tmp_path: Path) -> None:
    def observe() -> Observation:
        torch.rand(3)
        return Observation()

    def state_after(**options: Any) -> list[int]:
        run(tmp_path / str(len(options)), 10, **options)
        return torch.get_rng_state().tolist()

    assert state_after(observe=observe) == state_after()


def test_a_loss_that_is_not_finite_stops_the_run_at_once(tmp_path: Path) -> None:
    def step(state: TrainState, _rows: range) -> StepResult:
        return StepResult({"content": torch.tensor(1.0), "style": torch.tensor(float("nan"))})

    state = make_state()
    with pytest.raises(
        UserError, match="diverged at step 1: loss 'style' is NaN; try a lower learning rate"
    ):
        train(state, step, TrainingOptions(tmp_path, STEPS, BATCH))
    assert (tmp_path / LOG).read_text() == ""


class TooFast:
    """A supervisor that goes back once, from step 8 to the checkpoint of step 4."""

    def safe_step(self, memory: MutableMapping[str, Any]) -> int:
        return memory.get("safe", 0)

    def decide(self, memory: MutableMapping[str, Any], step: int, loss: float) -> Decision | None:
        assert isfinite(loss)
        if step == 4:
            memory["safe"] = 4
        if step == 8 and "decided" not in memory:
            memory["decided"] = [8]
            return Decision(8, 0.2, "the loss rose", rewind_to=4)
        return None

    def carry_over(
        self, memory: MutableMapping[str, Any], earlier: MutableMapping[str, Any]
    ) -> None:
        earlier["decided"] = memory["decided"]


def supervised(
    folder: Path,
    steps: int,
    world: World = ALONE,
    state: TrainState | None = None,
    **options: Any,
) -> TrainState:
    """Train with a supervisor whose decision divides the rate by five."""
    state = state or make_state()

    def step(state: TrainState, rows: range) -> StepResult:
        factor = 0.2 if "decided" in state.memory else 1.0
        return make_step(world, 0.01 * factor)(state, rows)

    options = {"supervisor": TooFast(), **options}
    train(state, step, TrainingOptions(folder, steps, BATCH, every=3), world=world, **options)
    return state


def test_a_supervisor_takes_the_run_back_and_what_it_learnt_stays(tmp_path: Path) -> None:
    state = supervised(tmp_path, STEPS)
    assert state.memory == {"safe": 4, "decided": [8]}
    assert [step for step, _ in losses(tmp_path)] == list(range(1, STEPS + 1))
    assert 4 in checkpoints(tmp_path)
    straight = make_state()
    straight.memory["decided"] = [8]
    train(straight, make_step(), TrainingOptions(tmp_path / "other", 4, BATCH))
    slow = TrainingOptions(tmp_path / "other", STEPS, BATCH)
    train(straight, make_step(rate=0.002), slow)
    assert all(
        torch.equal(own, other)
        for own, other in zip(
            state.modules["net"].parameters(), straight.modules["net"].parameters(), strict=True
        )
    )


class Lister:
    """A watcher that lists the checkpoints that are there with each one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.seen: list[tuple[int, list[int]]] = []

    def on_step(self, record: StepRecord) -> None:
        """Do nothing."""

    def on_checkpoint(self, state: TrainState, observation: Observation) -> None:
        self.seen.append((state.step, list(checkpoints(self._folder))))

    def on_stop(self, state: TrainState) -> None:
        """Do nothing."""

    def on_end(self, state: TrainState) -> None:
        """Do nothing."""


def test_a_watcher_sees_no_later_checkpoint_after_going_back(tmp_path: Path) -> None:
    watcher = Lister(tmp_path)
    supervised(tmp_path, STEPS, watcher=watcher)
    assert (4, [3, 4]) in watcher.seen[2:]
    assert all(there[-1] == step for step, there in watcher.seen)


def test_a_decision_is_in_the_log_and_in_the_note_of_its_step(tmp_path: Path) -> None:
    notes: list[str] = []
    supervised(tmp_path, STEPS, report=lambda _done, note, _figures: notes.append(note))
    text = "the learning rate is now 0.2 times the run's own: the loss rose"
    lines = [json.loads(line) for line in (tmp_path / LOG).read_text().splitlines()]
    assert {line["step"]: line["decision"] for line in lines if "decision" in line} == {5: text}
    assert [note.partition("warning: ")[2] for note in notes if "warning" in note] == [text]


@pytest.mark.parametrize("stopped_at", [2, 4, 7, 9, 15])
def test_a_supervised_run_that_was_stopped_decides_the_same(
    tmp_path: Path, stopped_at: int
) -> None:
    reports = iter(range(1, 100))

    def stop(*_: object) -> None:
        if next(reports) == stopped_at:
            raise Cancelled

    with pytest.raises(Cancelled):
        supervised(tmp_path / "stopped", STEPS, report=stop)
    resumed = supervised(tmp_path / "stopped", STEPS)
    assert resumed.digest() == supervised(tmp_path / "straight", STEPS).digest()
    assert losses(tmp_path / "stopped") == losses(tmp_path / "straight")


def test_workers_log_and_decide_by_the_losses_of_the_whole_batch(tmp_path: Path) -> None:
    run(tmp_path / "alone", 3)
    states = [make_state(), make_state()]

    def program(world: World) -> list[float]:
        seen: list[float] = []

        class Seeing(TooFast):
            def decide(self, _memory: object, _step: int, loss: float) -> None:
                seen.append(loss)

        options = TrainingOptions(tmp_path / str(world.rank), 3, BATCH)
        state = states[world.rank]
        train(state, make_step(world), options, world=world, supervisor=Seeing())
        return seen

    first, second = Threads(2).run(program)
    alone = [loss for _, loss in losses(tmp_path / "alone")]
    assert first == second == [loss for _, loss in losses(tmp_path / "0")]
    assert first == pytest.approx(alone, abs=1e-6)


def test_a_supervisor_ends_a_run_that_nothing_helps(tmp_path: Path) -> None:
    class Hopeless(TooFast):
        def decide(self, *_: object) -> Decision:
            return Decision(1, 1.0, "the loss rises at every rate", stops=True)

    with pytest.raises(UserError, match="stopped at step 1: the loss rises at every rate"):
        supervised(tmp_path, STEPS, supervisor=Hopeless())


def test_the_pictures_that_any_worker_skipped_are_listed_and_stay_listed(tmp_path: Path) -> None:
    states = [make_state(), make_state()]
    options = TrainingOptions(tmp_path, 5, BATCH, every=5)

    def program(world: World) -> None:
        skipped = {f"{world.rank}.png": "damaged"}
        world = replace(world, all_reduce=lambda _tensor: None)
        train(
            states[world.rank],
            make_step(world),
            options,
            world=world,
            skipped=skipped,
        )

    Threads(2).run(program)
    assert skipped_pictures(tmp_path) == {"0.png": "damaged", "1.png": "damaged"}
    run(tmp_path, 10)
    assert len(skipped_pictures(tmp_path)) == 2
    run(tmp_path, 15, skipped={"1.png": "gone", "2.png": "damaged"})
    assert [*skipped_pictures(tmp_path)] == ["0.png", "1.png", "2.png"]
    assert describe_skipped(tmp_path) == (
        f"skipped 3 pictures that cannot be read; see {tmp_path}/skipped.json"
    )


def test_pictures_that_a_stopped_run_skipped_are_listed(tmp_path: Path) -> None:
    def stop(*_: object) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        run(tmp_path, 5, report=stop, skipped={"a.png": "damaged"})
    assert skipped_pictures(tmp_path) == {"a.png": "damaged"}


def test_a_run_that_skipped_nothing_has_no_list(tmp_path: Path) -> None:
    run(tmp_path, 5)
    assert not (tmp_path / SKIPPED).exists()
    assert describe_skipped(tmp_path) == ""


@pytest.mark.parametrize("content", ["[", "[1]", "null"])
def test_a_damaged_list_of_skipped_pictures_counts_as_none(tmp_path: Path, content: str) -> None:
    (tmp_path / SKIPPED).write_text(content)
    assert skipped_pictures(tmp_path) == {}
