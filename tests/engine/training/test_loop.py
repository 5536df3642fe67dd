"""Runs: a stopped run gone on with is the run that was not, and a collapse is named."""

import json
import multiprocessing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from farm.engine.training import loop
from farm.engine.training.checkpoint import TrainState
from farm.engine.training.collapse import CollapseDetector
from farm.engine.training.loop import (
    Schedule,
    StepResult,
    TrainingOptions,
    descend,
    generator,
    shuffled,
    train,
)
from farm.engine.world import ALONE, World
from farm.errors import BadInput, BadParameter, Cancelled, UserError

STEPS, BATCH = 20, 4


def make_state(**facts: str) -> TrainState:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 3, 1), nn.Sigmoid())
    return TrainState({"net": net}, {"net": torch.optim.Adam(net.parameters())}, 5, facts)


def make_step(world: World = ALONE) -> Callable[[TrainState, range], StepResult]:
    """Learn to turn noise into its own mirror picture."""
    schedule = Schedule(STEPS, warm_up=4)

    def step(state: TrainState, rows: range) -> StepResult:
        draws = [
            torch.rand(3, 8, 8, generator=generator(state.seed, state.step, row)) for row in rows
        ]
        noise = torch.stack(draws)
        painted = state.modules["net"](noise)
        loss = (painted - noise.flip(3)).square().mean((1, 2, 3)).sum() / BATCH
        descend(state.optimizers["net"], loss, 0.01 * schedule.share(state.step), world)
        return StepResult({"loss": loss}, painted)

    return step


def run(folder: Path, steps: int, **options: Any) -> TrainState:
    state = make_state()
    train(state, make_step(), TrainingOptions(folder, steps, BATCH, every=5), **options)
    return state


def losses(folder: Path) -> list[tuple[int, float]]:
    lines = map(json.loads, (folder / loop.LOG).read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]


def digest_of_run(folder: Path, steps: int) -> str:
    torch.set_num_threads(1)
    return run(folder, steps).digest()


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.slow
def test_a_run_taken_up_in_a_new_process_is_the_run_that_was_not_stopped(tmp_path: Path) -> None:
    straight = run(tmp_path / "straight", STEPS).digest()
    with multiprocessing.get_context("spawn").Pool(1, maxtasksperchild=1) as pool:
        pool.apply(digest_of_run, (tmp_path / "stopped", STEPS // 2))
        taken_up = pool.apply(digest_of_run, (tmp_path / "stopped", STEPS))
    assert taken_up == straight
    assert losses(tmp_path / "stopped") == losses(tmp_path / "straight")
    assert len(losses(tmp_path / "straight")) == STEPS


def test_it_may_be_stopped_anywhere_and_often(tmp_path: Path) -> None:
    straight = run(tmp_path / "straight", STEPS)
    for steps in (3, 5, 12, STEPS):
        stopped = run(tmp_path / "stopped", steps)
    assert stopped.digest() == straight.digest()
    assert losses(tmp_path / "stopped") == losses(tmp_path / "straight")


def test_a_cancelled_run_leaves_a_checkpoint_of_where_it_was(tmp_path: Path) -> None:
    def report(done: float, _note: str) -> None:
        if done >= 7 / STEPS:
            raise Cancelled

    with pytest.raises(Cancelled):
        run(tmp_path, STEPS, report=report)
    assert loop.checkpoints(tmp_path)[-1].name == "step-00000007.safetensors"
    assert run(tmp_path, STEPS).digest() == run(tmp_path / "other", STEPS).digest()


def test_a_killed_run_goes_on_from_the_last_whole_checkpoint(tmp_path: Path) -> None:
    run(tmp_path, 12)
    *_, last = loop.checkpoints(tmp_path)
    last.write_bytes(last.read_bytes()[:-100])
    with (tmp_path / loop.LOG).open("a") as file:
        file.write('{"step": 13, "lo')
    assert run(tmp_path, STEPS).digest() == run(tmp_path / "other", STEPS).digest()
    assert losses(tmp_path) == losses(tmp_path / "other")


def test_only_the_last_checkpoints_stay(tmp_path: Path) -> None:
    run(tmp_path, STEPS)
    assert [p.stem for p in loop.checkpoints(tmp_path)] == [
        "step-00000010",
        "step-00000015",
        "step-00000020",
    ]


def test_saving_changes_nothing_and_loading_gives_all_back(tmp_path: Path) -> None:
    state = run(tmp_path, 5)
    before = state.digest()
    state.save(tmp_path / "a.safetensors")
    fresh = make_state()
    assert fresh.digest() != before
    fresh.load(tmp_path / "a.safetensors")
    assert fresh.digest() == state.digest() == before


def rewritten(path: Path, change: Callable[[dict[str, Tensor], dict[str, Any]], None]) -> Path:
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        header = json.loads(file.metadata()["farm-run"])
    change(tensors, header)
    save_file(tensors, path.with_name("changed.safetensors"), {"farm-run": json.dumps(header)})
    return path.with_name("changed.safetensors")


def test_whatever_is_missing_or_unknown_is_said_and_nothing_is_loaded(tmp_path: Path) -> None:
    state = run(tmp_path, 5)
    path = loop.checkpoints(tmp_path)[-1]
    with safe_open(path, "pt") as file:
        names = list(file.keys())
    assert any(name.startswith("optimizer/net/0/exp_avg_sq") for name in names)
    fresh = make_state()
    blank = fresh.digest()
    for name in names:

        def drop(tensors: dict[str, Tensor], header: dict[str, Any], name: str = name) -> None:
            del tensors[name]

        with pytest.raises(BadInput, match=f"lacks {name}"):
            fresh.load(rewritten(path, drop))

        def drop_quietly(
            tensors: dict[str, Tensor], header: dict[str, Any], name: str = name
        ) -> None:
            del tensors[name]
            header["tensors"].remove(name)

        with pytest.raises(BadInput, match=r"lacks|digest differs"):
            fresh.load(rewritten(path, drop_quietly))
    with pytest.raises(BadInput, match=r"has also module/net/9\.bias"):
        fresh.load(rewritten(path, lambda t, _: t.update({"module/net/9.bias": torch.zeros(1)})))
    with pytest.raises(BadInput, match="digest differs"):
        fresh.load(rewritten(path, lambda t, _: t["module/net/0.bias"].add_(1)))
    with pytest.raises(BadInput, match="digest differs"):
        fresh.load(rewritten(path, lambda _, h: h.update(step=6)))
    assert fresh.digest() == blank
    assert state.step == 5


def test_a_run_of_another_kind_is_not_gone_on_with(tmp_path: Path) -> None:
    run(tmp_path, 5)
    with pytest.raises(BadInput, match="another run: facts style was None"):
        train(make_state(style="wave.jpg"), make_step(), TrainingOptions(tmp_path, STEPS, BATCH))


def test_a_folder_whose_checkpoints_are_all_damaged_is_refused(tmp_path: Path) -> None:
    run(tmp_path, 5)
    for path in loop.checkpoints(tmp_path):
        path.write_bytes(b"nothing")
    with pytest.raises(BadInput, match="is no checkpoint of a run"):
        run(tmp_path, STEPS)


def test_pictures_are_shown_at_each_checkpoint(tmp_path: Path) -> None:
    run(tmp_path, 10, show=lambda: torch.full((1, 3, 8, 8), 0.5))
    assert len(list((tmp_path / loop.CHECKPOINTS).glob("*.png"))) == 2


@given(st.integers(1, 50), st.integers(0, 2**40), st.integers(0, 3))
def test_shuffled_gives_each_sample_once_in_each_round(count: int, seed: int, around: int) -> None:
    order = [shuffled(seed, count, around * count + n) for n in range(count)]
    assert sorted(order) == list(range(count))


@given(st.integers(1, 12), st.integers(0, 40))
def test_rows_are_dealt_once_each(size: int, more: int) -> None:
    dealt = [row for rank in range(size) for row in World(rank, size).rows(size + more)]
    assert sorted(dealt) == list(range(size + more))


def test_a_batch_smaller_than_the_world_is_refused() -> None:
    with pytest.raises(BadParameter, match="2 pictures for 3 workers"):
        World(0, 3).rows(2)


def test_draws_differ_by_seed_step_row_and_use() -> None:
    draws = {
        torch.rand(1, generator=generator(*key)).item()
        for key in ((0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (0, 0, 0, "noise"))
    }
    assert len(draws) == 5


def test_the_schedule_rises_then_falls_and_needs_no_memory() -> None:
    shares = [Schedule(100, warm_up=10, last=0.1).share(step) for step in range(101)]
    assert shares[0] == pytest.approx(0.1)
    assert max(shares) == max(shares[5:20])
    assert shares[20:] == sorted(shares[20:], reverse=True)
    assert shares[100] == pytest.approx(0.1)


GREY = torch.full((2, 3, 16, 16), 0.5)
LIVELY = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("pictures", "reason"),
    [
        (GREY, r"a channel varies by 0\.000 only"),
        (LIVELY * 0.1, r"the mean colour is 0\.45 away"),
        (LIVELY.round(), r"100% of the values are saturated"),
        (torch.cat([LIVELY[:, :2], GREY[:, 2:]], 1), "a channel varies"),
    ],
)
def test_a_collapse_is_warned_of_and_ends_the_run_when_it_lasts(
    pictures: Tensor, reason: str
) -> None:
    guard = CollapseDetector((0.5, 0.5, 0.5), patience=2)
    found = guard.measure(pictures).mean(0)
    for step in (1, 2):
        _, fault = guard.judge(step, {"loss": 0.1}, found)
        assert fault
    with pytest.raises(UserError, match=rf"for 3 steps up to 3, {reason}"):
        guard.judge(3, {"loss": 0.1}, found)


def test_a_fault_that_passes_is_forgiven() -> None:
    guard = CollapseDetector((0.5, 0.5, 0.5), patience=1)
    grey, lively = (guard.measure(p).mean(0) for p in (GREY, LIVELY))
    for step in range(5):
        assert guard.judge(step, {}, grey)[1]
        assert not guard.judge(step, {}, lively)[1]


def test_a_loss_that_is_no_number_ends_the_run_at_once() -> None:
    guard = CollapseDetector((0.5, 0.5, 0.5))
    with pytest.raises(UserError, match="broke at step 9: style is nan; try a lower --rate"):
        guard.judge(9, {"content": 1.0, "style": float("nan")}, guard.measure(LIVELY).mean(0))
