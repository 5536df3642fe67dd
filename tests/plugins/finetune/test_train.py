"""`farm finetune`: exact resumes, parts of a batch, accuracy, and sets that cannot be trained on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from farm import BadInput, Cancelled, PictureSet, UnknownName
from farm.engine.context import FrameContext
from farm.engine.training import TrainingOptions, TrainState, read_facts
from farm.engine.training.feed import Feed
from farm.engine.training.runs import find_checkpoint
from farm_finetune.augmentation import augmented
from farm_finetune.params import FinetuneParams
from farm_finetune.train import Tuning

from .conftest import QUICK, make_run

pytestmark = pytest.mark.slow

MakeContext = Callable[..., FrameContext]


def log_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_a_resumed_run_gives_the_same_bytes(
    tmp_path: Path, dataset: Path, make_context: MakeContext
) -> None:
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    inputs = (str(dataset),)
    run = make_run(rotate=10, blur=1, colour=0.2)
    run.train(inputs, straight, make_context())
    with pytest.raises(Cancelled):
        run.train(inputs, stopped, make_context(stop_after=10))
    assert find_checkpoint(stopped).name == "step-00000010.safetensors"
    run.train(inputs, stopped, make_context())
    last = [find_checkpoint(folder).read_bytes() for folder in (straight, stopped)]
    assert last[0] == last[1]
    assert [line["loss"] for line in log_of(straight)] == [line["loss"] for line in log_of(stopped)]


def forget_weights(state: TrainState) -> None:
    with torch.no_grad():
        state.modules["network"].get_parameter("fc.weight").zero_()


def forget_momentum(state: TrainState) -> None:
    state.optimizers["network"].state.clear()


def forget_rate_factor_of_biases(state: TrainState) -> None:
    del state.optimizers["network"].param_groups[1]["rate_factor"]


def forget_memory(state: TrainState) -> None:
    state.memory.clear()


@pytest.mark.parametrize(
    "forget",
    [None, forget_weights, forget_momentum, forget_rate_factor_of_biases, forget_memory],
)
def test_whatever_a_checkpoint_forgot_would_change_the_digest(
    forget: Callable[[TrainState], None] | None,
    tmp_path: Path,
    dataset: Path,
    make_context: MakeContext,
) -> None:
    def train(folder: Path, *, forgets: bool) -> str:
        params, context = FinetuneParams(**QUICK), make_context()
        pictures = context.pictures(str(dataset))
        with Feed(pictures, 1, 6, lambda p, g: augmented(params, p, g)) as feed:
            tuning = Tuning(params, pictures, context.pictures(str(dataset), "val"), feed, context)
            state = tuning.state()

            def step(state: TrainState, rows: range) -> Any:
                if state.step == 10 and forgets and forget:
                    forget(state)
                return tuning.step(state, rows)

            options = TrainingOptions(folder, 20, 6)
            context.train(state, step, options, supervisor=tuning.supervisor())
            return state.digest()

    whole = train(tmp_path / "whole", forgets=False)
    assert (train(tmp_path / "cut", forgets=True) == whole) == (forget is None)


def test_held_out_pictures_are_recognised(
    tmp_path: Path, dataset: Path, make_context: MakeContext
) -> None:
    run = make_run(steps=120, rate=0.02)
    run.train((str(dataset),), tmp_path / "run", make_context())
    first, *_, last = [line for line in log_of(tmp_path / "run") if "accuracy" in line]
    assert last["accuracy"] == 1.0
    assert first["step"] == 100
    assert (tmp_path / "run" / "checkpoints" / "step-00000120.confusion.png").is_file()


def test_without_held_out_pictures_there_is_no_accuracy(
    tmp_path: Path, dataset: Path, make_context: MakeContext
) -> None:
    make_run(steps=2).train((str(dataset / "val"),), tmp_path / "run", make_context())
    assert all("accuracy" not in line for line in log_of(tmp_path / "run"))


def limit_memory(monkeypatch: pytest.MonkeyPatch, most: int, error: str) -> list[int]:
    """Let the first layer of the tiny network raise for more pictures than this, while it trains.

    Returns the numbers of pictures that it is given.
    """
    sizes: list[int] = []
    forward = nn.Conv2d.forward

    def limited(self: nn.Conv2d, x: Tensor) -> Tensor:
        if self.training and self.in_channels == 3:
            sizes.append(len(x))
            if len(x) > most:
                raise RuntimeError(error)
        return forward(self, x)

    monkeypatch.setattr(nn.Conv2d, "forward", limited)
    return sizes


def test_a_batch_in_parts_gives_the_gradient_of_the_whole_batch(
    tmp_path: Path,
    dataset: Path,
    make_context: MakeContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def train(folder: Path) -> dict[str, Tensor]:
        from safetensors.torch import load_file

        make_run(steps=4).train((str(dataset),), folder, make_context())
        return load_file(folder / "network.safetensors")

    whole = train(tmp_path / "whole")
    sizes = limit_memory(monkeypatch, 2, "CUDA out of memory. Tried to allocate 20 MiB")
    parts = train(tmp_path / "parts")
    assert sizes[:6] == [6, 3, 2, 2, 2, 2]
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, atol=1e-6, rtol=1e-5)
    first, second, *_ = log_of(tmp_path / "parts")
    assert first["warning"] == (
        "the memory is too small for 6 pictures at once; computing 2 at once"
    )
    assert not second.get("warning")
    assert first["loss"] == pytest.approx(log_of(tmp_path / "whole")[0]["loss"])


def test_a_single_picture_that_does_not_fit_the_memory_ends_the_run(
    tmp_path: Path, dataset: Path, make_context: MakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = limit_memory(monkeypatch, 0, "DefaultCPUAllocator: can't allocate memory")
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        make_run().train((str(dataset / "train"),), tmp_path / "run", make_context())
    assert sizes == [6, 3, 2, 1]


def test_a_rate_that_is_far_too_high_is_corrected(
    tmp_path: Path, dataset: Path, make_context: MakeContext
) -> None:
    run = make_run(steps=200, rate=5.0)
    run.train((str(dataset),), tmp_path / "run", make_context())
    lines = log_of(tmp_path / "run")
    assert lines[-1]["loss"] < 0.5
    assert all(line["loss"] < 100 for line in lines)


def test_one_category_is_refused(tmp_path: Path, dataset: Path, make_context: MakeContext) -> None:
    (dataset / "train" / "red").rename(tmp_path / "red")
    (dataset / "train" / "blue").rename(tmp_path / "blue")
    for source, reason in (
        (dataset / "train", "the only category is green"),
        (tmp_path / "red", "it has none"),
    ):
        with pytest.raises(BadInput, match=f"two or more categories, and {reason}; give a folder"):
            make_run().train((str(source),), tmp_path / "run", make_context())


def test_a_category_of_one_picture_and_a_truncated_picture_are_fine(
    tmp_path: Path, dataset: Path, make_context: MakeContext
) -> None:
    for number in range(1, 5):
        (dataset / "train" / "red" / f"{number}.png").unlink()
    broken = dataset / "train" / "blue" / "2.png"
    broken.write_bytes(broken.read_bytes()[:100])
    make_run(steps=4).train((str(dataset),), tmp_path / "run", make_context())
    warning = next(line["warning"] for line in log_of(tmp_path / "run") if "warning" in line)
    assert "unreadable pictures skipped: 1, such as" in warning
    assert "2.png" in warning


def test_another_run_is_not_continued(
    tmp_path: Path, dataset: Path, make_context: MakeContext
) -> None:
    make_run(steps=2).train((str(dataset),), tmp_path / "run", make_context())
    with pytest.raises(
        BadInput, match=r"belongs to another run: reinit was '' and is now 'block2'"
    ):
        make_run(steps=4, reinit=["block2"]).train(
            (str(dataset),), tmp_path / "run", make_context()
        )
    make_run(steps=4).train((str(dataset),), tmp_path / "run", make_context())
    assert len(log_of(tmp_path / "run")) == 4


def test_measuring_changes_neither_the_state_nor_a_random_generator(
    dataset: Path, make_context: MakeContext
) -> None:
    params, context = FinetuneParams(**QUICK), make_context()
    pictures: PictureSet = context.pictures(str(dataset))
    with Feed(pictures, 1, 6, lambda p, g: augmented(params, p, g)) as feed:
        tuning = Tuning(params, pictures, context.pictures(str(dataset), "val"), feed, context)
        state = tuning.state()
        tuning.step(state, range(6))
        modes = [part.training for part in tuning.network.modules()]
        digest, generator = state.digest(), torch.get_rng_state()
        observation = tuning.observe()
        assert state.digest() == digest
        assert torch.equal(torch.get_rng_state(), generator)
        assert [part.training for part in tuning.network.modules()] == modes
    assert observation.pictures["confusion"].shape == (1, 3, 700, 700)


@pytest.mark.parametrize("flag", ["keep", "reinit", "freeze"])
def test_an_unknown_block_is_refused_before_the_run_starts(
    make_context: Callable[..., FrameContext], flag: str
) -> None:
    with pytest.raises(UnknownName, match="unknown block of tiny 'blok1'; did you mean block1"):
        make_run(**{flag: ["blok1"]}).check(make_context())


def test_what_is_known_before_work_is_what_the_checkpoint_says(
    tmp_path: Path, dataset: Path, make_context: MakeContext
) -> None:
    run, inputs = make_run(steps=1, batch=1000), (str(dataset),)
    (note,) = run.notes_on_inputs(inputs, make_context())
    assert "fewer than a batch of 1000" in note
    run = make_run(steps=1)
    run.train(inputs, tmp_path, make_context())
    saved = read_facts(find_checkpoint(tmp_path))
    assert saved == run.facts(inputs, make_context()) | {"mean colour": saved["mean colour"]}
