"""A run whose folder is at a URL trains on this machine, and what it needs to go on is at the URL."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from farm import storage
from farm.errors import Cancelled, OutputReplaced, StorageUnavailable
from farm.execution.run_folder import open_run_folder
from farm.execution.worker import Worker
from farm.host.registry import Registry
from farm.model.job import Plan
from farm.model.messages import Order, TrainingFigures
from farm.model.unit import Unit
from farm.model.work import Train
from farm.storage import Stat, add_schemes

from ..fake_storage import FolderStorage  # noqa: TID252 - shared between rooms

EXAMPLES = Path(__file__).parents[2] / "plugins" / "examples"
RESULT = "denoise.safetensors"
STEPS = 12


class Recorder(FolderStorage):
    """A storage that notes what is written and removed. room: how many files it takes."""

    def __init__(self) -> None:
        self.written: list[str] = []
        self.removed: list[str] = []
        self.room = 1000

    def put(self, url: str, source: Path, sha256: str, *, expected: str | None = None) -> Stat:
        if not self.room:
            raise StorageUnavailable(url, "the quota is used up; free some space")
        self.room -= 1
        stat = super().put(url, source, sha256, expected=expected)
        self.written.append(storage.name(url))
        return stat

    def remove(self, url: str) -> None:
        self.removed.append(storage.name(url))
        super().remove(url)


@pytest.fixture
def recorder(folder_storage: Any) -> Recorder:
    made = Recorder()
    add_schemes({"folder": lambda: made})
    return made


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Worker(Registry.load(EXAMPLES), "cpu")


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., Order]:
    """Return an order to train in a folder: ``order(location, steps)``."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for seed in range(3):
        levels = np.random.default_rng(seed).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(levels).save(folder / f"{seed}.png")

    def make(location: str, steps: int = STEPS) -> Order:
        unit = Unit("job", "train", "", f"{location}/{RESULT}", work=Train((str(folder),)))
        return Order(unit, 1, "lease", "denoise", {"steps": steps}, Plan())

    return make


def run(worker: Worker, order: Order, *, stop_after: int = 1000) -> None:
    """Carry out an order, and stop it after a step."""
    done = 0

    def report(
        _done: float, _note: str, _tiles: int, figures: TrainingFigures | None = None
    ) -> None:
        nonlocal done
        done = figures.step if figures else done

    with suppress(Cancelled):
        worker.run(order, report, lambda: done >= stop_after)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_run_at_a_url_leaves_what_a_run_on_a_disk_leaves(
    worker: Worker, order: Callable[..., Order], folder_storage: Any, tmp_path: Path
) -> None:
    here, there = tmp_path / "run", f"{folder_storage.root}/run"
    run(worker, order(str(here)))
    run(worker, order(there), stop_after=5)
    run(worker, order(there))
    names = [name.removeprefix("run/") for name in folder_storage.names()]
    left = files(here)
    # The stop left one more checkpoint.
    assert {*left} == {*names} - {"checkpoints/step-00000006.safetensors"}
    same = [name for name in left if name.endswith((".safetensors", ".json"))]
    assert len(same) == 3
    assert all(folder_storage.get(f"run/{name}") == left[name] for name in same)
    assert not list((tmp_path / "cache" / "scratch").glob("*"))


def test_what_a_checkpoint_needs_is_there_before_it_and_the_result_comes_last(
    worker: Worker, order: Callable[..., Order], folder_storage: Any, recorder: Recorder
) -> None:
    run(worker, order(f"{folder_storage.root}/run"), stop_after=5)
    assert recorder.written[0] == "run.json"
    assert recorder.written.index("log.jsonl") < recorder.written.index("step-00000006.safetensors")
    recorder.written.clear()
    run(worker, order(f"{folder_storage.root}/run"))
    assert recorder.written.index("log.jsonl") < recorder.written.index("step-00000012.safetensors")
    assert recorder.written[-1] == RESULT


def test_files_are_written_after_those_they_depend_on(
    folder_storage: Any, recorder: Recorder
) -> None:
    names = ("denoise.log", "checkpoints/a.png", "checkpoints/a.safetensors", "run.json", RESULT)
    with open_run_folder(f"{folder_storage.root}/run", RESULT, 0) as folder:
        (folder.path / "checkpoints").mkdir()
        for name in names:
            (folder.path / name).touch()
        folder.push()
    assert recorder.written == ["run.json", "a.png", "denoise.log", "a.safetensors", RESULT]


@pytest.mark.parametrize("room", [0, 1, 3])
def test_a_storage_that_is_full_ends_the_attempt_and_the_next_one_goes_on(
    worker: Worker, order: Callable[..., Order], folder_storage: Any, recorder: Recorder, room: int
) -> None:
    straight = f"{folder_storage.root}/straight"
    run(worker, order(straight))
    wanted = folder_storage.get(f"straight/{RESULT}")
    recorder.room = room
    location = f"{folder_storage.root}/run"
    with pytest.raises(StorageUnavailable, match="quota is used up"):
        run(worker, order(location))
    recorder.room = 1000
    run(worker, order(location))
    assert folder_storage.get(f"run/{RESULT}") == wanted


def test_a_stale_worker_replaces_nothing_of_a_run_that_another_has_taken_over(
    folder_storage: Any,
) -> None:
    location = f"{folder_storage.root}/run"
    with open_run_folder(location, RESULT, 0) as stale:
        (stale.path / "log.jsonl").write_text("1\n")
        stale.push()
        with open_run_folder(location, RESULT, 0) as newer:
            (newer.path / "log.jsonl").write_text("1\n2\n")
            newer.push()
        (stale.path / "log.jsonl").write_text("1\nother\n")
        with pytest.raises(OutputReplaced):
            stale.push()
    assert folder_storage.get("run/log.jsonl") == b"1\n2\n"


def test_what_a_run_has_reached_is_at_the_url_when_its_process_dies(
    worker: Worker, order: Callable[..., Order], folder_storage: Any
) -> None:
    """Nothing that the process would still do at its end is needed."""
    names: list[str] = []

    def report(
        _done: float, _note: str, _tiles: int, figures: TrainingFigures | None = None
    ) -> None:
        if figures and figures.step == 101:
            names.extend(folder_storage.names())

    worker.run(order(f"{folder_storage.root}/run", 102), report, lambda: False)
    assert {"run/checkpoints/step-00000100.safetensors", "run/log.jsonl"} < {*names}


def test_only_the_first_worker_reads_and_writes_the_folder(folder_storage: Any) -> None:
    folder_storage.put("run/log.jsonl", b"1\n")
    with open_run_folder(f"{folder_storage.root}/run", RESULT, 1) as folder:
        assert folder.path.name == "run"
        assert list(folder.path.iterdir()) == []
        (folder.path / "own.txt").touch()
        folder.push()
    assert folder_storage.names() == ["run/log.jsonl"]


def test_what_a_run_removes_is_removed_at_the_url(folder_storage: Any, recorder: Recorder) -> None:
    location = f"{folder_storage.root}/run"
    with open_run_folder(location, RESULT, 0) as folder:
        (folder.path / "checkpoints").mkdir()
        old = folder.path / "checkpoints" / "step-00000001.safetensors"
        old.touch()
        folder.push()
        old.rename(old.with_name("step-00000002.safetensors"))
        folder.push()
    assert folder_storage.names() == ["run/checkpoints/step-00000002.safetensors"]
    assert recorder.removed == ["step-00000001.safetensors"]


def test_a_run_that_failed_before_it_began_leaves_nothing(
    worker: Worker, order: Callable[..., Order], folder_storage: Any, tmp_path: Path
) -> None:
    given = order(f"{folder_storage.root}/run")
    nothing = replace(given.unit, work=Train((str(tmp_path / "gone"),)))
    with pytest.raises(Exception, match="gone"):
        run(worker, replace(given, unit=nothing))
    assert folder_storage.names() == []
