"""A worker renders an order into a file, and turns every error into a farm error."""

import errno
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from farm.errors import (
    BadInput,
    Cancelled,
    DeviceMemory,
    FarmError,
    InputChanged,
    OrderRefused,
    PluginError,
    StorageFailed,
    StorageUnavailable,
    WorkerDied,
)
from farm.execution.failures import classify, output_errors, storage_errors
from farm.execution.worker import Worker, attempt
from farm.host.registry import Registry
from farm.media import read_record
from farm.model.job import Plan, weights_key
from farm.model.messages import (
    Failure,
    Figures,
    Hold,
    Order,
    Reason,
    UnitCancelled,
    UnitFailed,
    UnitSucceeded,
)
from farm.model.unit import Unit
from farm.model.work import Render, Train
from farm.storage import sha256_file, take_transfers
from farm_networks import starter

EFFECTS = Path(__file__).parents[1] / "effects"


@pytest.fixture(scope="module")
def worker() -> Worker:
    return Worker(Registry.load(EFFECTS), "cpu")


@pytest.fixture
def order(tmp_path: Path) -> Order:
    """An order to invert a small ramp and write it as PNG."""
    source = tmp_path / "ramp.png"
    ramp = np.linspace(0, 255, 12 * 9 * 3).astype(np.uint8).reshape(9, 12, 3)
    Image.fromarray(ramp).save(source)
    unit = Unit("job", "ramp.png", str(source), str(tmp_path / "out" / "ramp.png"))
    return Order(unit, 1, "lease", "invert", {}, Plan())


def run(worker: Worker, order: Order) -> Figures:
    return worker.run(order, lambda *_: None, lambda: False)


def test_the_rendered_picture_is_written(worker: Worker, order: Order) -> None:
    run(worker, order)
    before, after = (np.asarray(Image.open(u)) for u in (order.unit.source, order.unit.target))
    assert np.array_equal(after, 255 - before)


def test_figures_report_the_cost_of_a_frame(worker: Worker, order: Order) -> None:
    figures = run(worker, order)
    assert figures.seconds.keys() == {"load", "compute", "write"}
    assert all(seconds > 0 for seconds in figures.seconds.values())
    assert figures.pixels == 12 * 9
    assert figures.source_sha256 == sha256_file(Path(order.unit.source))
    assert figures.target_sha256 == sha256_file(Path(order.unit.target))


def test_pixels_are_counted_in_the_output(worker: Worker, order: Order) -> None:
    assert run(worker, replace(order, task="half")).pixels == 6 * 5


def test_a_blank_picture_has_no_digest(worker: Worker, order: Order) -> None:
    unit = replace(order.unit, source="blank:8x6:#ff8000")
    assert run(worker, replace(order, unit=unit)).source_sha256 == ""


def test_the_output_records_how_it_was_rendered(worker: Worker, order: Order) -> None:
    order = replace(order, task="look", plan=Plan(seed=5))
    figures = run(worker, order)
    record = read_record(order.unit.target)
    assert record["task"] == "look"
    assert record["params"] == {"network": "starter", "weights": None}
    assert record["plan"] == order.plan.model_dump(mode="json", exclude_none=True)
    assert record["source"] == {"name": "ramp.png", "sha256": figures.source_sha256}
    assert record["networks"] == {"starter": starter.SHA256}
    assert record["versions"].keys() == {"farm", "torch"}
    assert record["device"].startswith("cpu")
    assert (record["alpha"], record["depth"]) == (False, 8)


def test_equal_orders_write_equal_bytes(worker: Worker, order: Order) -> None:
    order = replace(order, task="grain")
    assert run(worker, order).target_sha256 == run(worker, order).target_sha256


@pytest.mark.slow
def test_each_order_is_run_with_the_threads_of_its_plan(worker: Worker, order: Order) -> None:
    expected = {threads: rendered_by_a_new_process(order, threads) for threads in (1, 2)}
    assert expected[1] != expected[2]
    for threads in (2, 1, 2):
        planned = replace(order, task="total", plan=Plan(threads=threads))
        run(worker, planned)
        assert pixels(planned) == expected[threads]


def rendered_by_a_new_process(order: Order, threads: int) -> bytes:
    """Return the pixels of a worker whose process has had so many threads from the start."""
    planned = replace(order, task="total", plan=Plan(threads=threads))
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        process.submit(render_with_threads, planned).result()
    return pixels(planned)


def render_with_threads(order: Order) -> None:
    torch.set_num_threads(order.plan.threads)
    run(Worker(Registry.load(EFFECTS), "cpu"), order)


def pixels(order: Order) -> bytes:
    return Image.open(order.unit.target).tobytes()


def test_the_grain_depends_on_the_seed_and_the_number_of_a_frame(
    worker: Worker, order: Order
) -> None:
    def rendered(order: Order) -> bytes:
        run(worker, order)
        return pixels(order)

    order = replace(order, task="grain")
    others = (
        replace(order, plan=Plan(seed=1)),
        replace(order, unit=replace(order.unit, work=Render(seed="1"))),
        replace(order, unit=replace(order.unit, work=Render(seed="2"))),
    )
    assert len({rendered(one) for one in (order, *others)}) == 4


@pytest.mark.parametrize(("task", "width", "height"), [("invert", 12, 9), ("half", 6, 5)])
def test_alpha_is_kept_and_resized(
    worker: Worker, order: Order, task: str, width: int, height: int
) -> None:
    picture = Image.open(order.unit.source)
    alpha = Image.linear_gradient("L").resize(picture.size)
    picture.putalpha(alpha)
    picture.save(order.unit.source)
    run(worker, replace(order, task=task))
    written = Image.open(order.unit.target)
    assert written.size == (width, height)
    expected = alpha.resize((width, height), Image.Resampling.BILINEAR)
    assert np.abs(np.subtract(written.getchannel("A"), expected, dtype=int)).max() <= 1


@pytest.mark.parametrize(
    ("how", "match"),
    [
        ("nan", r"plugin faulty: rendered NaN or infinity in \d+ of 324 values"),
        (
            "layout",
            r"torch.float32 of shape \[3, 9, 12\]; expected floating point of shape \[1, 3,",
        ),
        ("integer", r"torch.uint8 of shape \[1, 3, 9, 12\]"),
        (
            "nothing",
            r"rendered a NoneType, not a tensor \(probe.py, line \d+\); farm.testing.check_effect",
        ),
        (
            "in-place",
            r"faulty: changed its input; clone it first \(probe.py, line \d+\); farm.test",
        ),
        ("raise", r"faulty: KeyError: 'colour' \(probe.py, line \d+\)"),
        ("exit", "faulty: SystemExit: 3"),
        ("interrupt", "faulty: KeyboardInterrupt"),
        ("generator", "faulty: GeneratorExit"),
        ("stop", "faulty: StopIteration: 7"),
        ("base", "faulty: Unprintable: its message cannot be shown"),
    ],
)
def test_a_broken_effect_raises_plugin_error_and_writes_nothing(
    worker: Worker, order: Order, how: str, match: str
) -> None:
    with pytest.raises(PluginError, match=match):
        run(worker, replace(order, task="faulty", params={"how": how}))
    assert not Path(order.unit.target).exists()


def test_a_picture_of_one_colour_is_written(worker: Worker, order: Order) -> None:
    run(worker, replace(order, params={"amount": 0.5}))
    assert np.ptp(np.asarray(Image.open(order.unit.target))) == 0


@pytest.mark.parametrize("how", ["memory", "torch-memory"])
def test_running_out_of_memory_raises_device_memory(worker: Worker, order: Order, how: str) -> None:
    with pytest.raises(DeviceMemory, match=r"cpu is out of memory .* try a smaller --tile"):
        run(worker, replace(order, task="faulty", params={"how": how}))


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        (
            {"task": "inverrt"},
            (
                "no worker can run task 'inverrt': no plugin offers it; install it and restart the "
                "farm; see `farm plugins`"
            ),
        ),
        (
            {"params": {"amount": 2}},
            (
                "refuses the job's parameters: amount: should be less than or equal to 1, not 2; "
                "install the version that the job began with and restart the farm"
            ),
        ),
    ],
)
def test_an_order_that_no_unit_of_the_job_could_pass_holds_the_job(
    worker: Worker, order: Order, changes: dict, match: str
) -> None:
    message = attempt(worker, "w", replace(order, **changes), lambda *_: None, lambda: False)
    assert isinstance(message, UnitFailed)
    assert match in message.failure.message
    assert message.failure.hold is Hold.RESTART


def test_a_missing_picture_raises_bad_input(worker: Worker, order: Order) -> None:
    Path(order.unit.source).unlink()
    with pytest.raises(BadInput, match=r"ramp\.png: no such file"):
        run(worker, order)


def test_cancelling_before_the_write_leaves_no_file(worker: Worker, order: Order) -> None:
    with pytest.raises(Cancelled):
        worker.run(order, lambda *_: None, lambda: True)
    assert not Path(order.unit.target).exists()


def test_networks_stay_loaded(worker: Worker, order: Order, tmp_path: Path) -> None:
    loaded = worker._contexts._networks.loaded
    run(worker, replace(order, task="look"))
    before = len(loaded)
    weights = shutil.copy(starter.WEIGHTS, tmp_path / "copy.safetensors")
    run(worker, replace(order, task="look", params={"weights": str(weights)}))
    assert len(loaded) == before, "equal weights in another file were loaded again"


def test_progress_is_reported(worker: Worker, order: Order, tmp_path: Path) -> None:
    until, reports = tmp_path / "until", []

    def report(done: float, note: str, tiles: int) -> None:
        reports.append((done, note, tiles))
        until.touch()

    params = {"began": str(tmp_path / "began"), "until": str(until)}
    worker.run(replace(order, task="wait", params=params), report, lambda: False)
    assert reports == [(0.5, "waiting", 0)]


@pytest.mark.parametrize(
    ("error", "reason", "is_fatal"),
    [
        (BadInput("a.png", "damaged"), Reason.USER_ERROR, True),
        (PluginError("dream", "broke"), Reason.PLUGIN_ERROR, False),
        (DeviceMemory("cuda:0", "2 GiB"), Reason.MEMORY, False),
        (StorageFailed("a.png", "timed out"), Reason.STORAGE, False),
        (StorageUnavailable("a.png", "the disk is full"), Reason.STORAGE, False),
        (OrderRefused("dream", "no plugin offers it"), Reason.USER_ERROR, True),
        (WorkerDied("ray-1", "killed"), Reason.WORKER_DIED, False),
        (FarmError("strange"), Reason.BUG, False),
        (ZeroDivisionError("by zero"), Reason.BUG, False),
    ],
)
def test_every_error_is_classified(error: Exception, reason: Reason, *, is_fatal: bool) -> None:
    failure = classify(error)
    assert (failure.reason, failure.is_fatal) == (reason, is_fatal)
    assert str(error) in failure.message
    assert "\n" not in failure.message


@pytest.mark.parametrize(
    ("how", "is_mistake"),
    [
        ("misspelt", True),
        ("nothing", True),
        ("in-place", True),
        ("raise", False),
        ("memory", False),
    ],
)
def test_wrong_code_is_told_from_what_may_depend_on_the_frame(
    worker: Worker, order: Order, how: str, *, is_mistake: bool
) -> None:
    order = replace(order, task="faulty", params={"how": how})
    message = attempt(worker, "w", order, lambda *_: None, lambda: False)
    assert isinstance(message, UnitFailed)
    assert message.failure.is_mistake is is_mistake


def test_a_failure_contains_the_traceback_of_the_plugin(worker: Worker, order: Order) -> None:
    order = replace(order, task="faulty", params={"how": "raise"})
    message = attempt(worker, "w", order, lambda *_: None, lambda: False)
    assert isinstance(message, UnitFailed)
    assert "return faults[self.params.how]()" in message.failure.traceback
    assert (message.worker, message.token) == ("w", "lease")


def test_a_cancelled_attempt_is_reported(worker: Worker, order: Order) -> None:
    message = attempt(worker, "w", order, lambda *_: None, lambda: True)
    assert message == UnitCancelled("w", "lease")


class LostConnection(Exception):
    """What a cluster raises if the farm's process is gone."""


@pytest.mark.parametrize(
    ("error", "reason", "says"),
    [
        (ConnectionError("reset"), Reason.WORKER_DIED, "lost contact with the farm: Connection"),
        (LostConnection("gone"), Reason.WORKER_DIED, "lost contact with the farm: LostConn"),
        (KeyError("token"), Reason.BUG, "farm bug: KeyError: 'token'"),
    ],
)
@pytest.mark.parametrize("part", ["report", "is_cancelled"])
def test_the_plugin_is_not_blamed_for_errors_of_the_farms_own_calls(
    worker: Worker,
    order: Order,
    tmp_path: Path,
    error: Exception,
    reason: Reason,
    says: str,
    part: str,
) -> None:
    def fail(*_: object) -> bool:
        raise error

    params = {"began": str(tmp_path / "began"), "until": str(tmp_path / "until")}
    order = replace(order, task="wait", params=params)
    calls = {"report": lambda *_: None, "is_cancelled": lambda: False} | {part: fail}
    message = attempt(worker, "w", order, calls["report"], calls["is_cancelled"])
    assert isinstance(message, UnitFailed)
    assert message.failure.reason is reason
    assert says in message.failure.message


def test_an_attempt_reports_the_files_that_it_moved_once(worker: Worker, order: Order) -> None:
    take_transfers()
    first = attempt(worker, "w", order, lambda *_: None, lambda: False)
    assert isinstance(first, UnitSucceeded)
    (moved,) = first.transfers
    assert (moved.scheme, moved.direction, moved.count) == ("file", "write", 1)
    assert moved.bytes == Path(order.unit.target).stat().st_size
    second = attempt(worker, "w", order, lambda *_: None, lambda: True)
    assert isinstance(second, UnitCancelled)
    assert second.transfers == ()


def test_a_full_disk_holds_the_job(
    worker: Worker, order: Order, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    take_transfers()
    message = attempt(worker, "w", order, lambda *_: None, lambda: False)
    assert isinstance(message, UnitFailed)
    assert [moved.errors for moved in message.transfers] == [1]
    assert (message.failure.reason, message.failure.hold) == (Reason.STORAGE, Hold.STORAGE)
    assert message.failure.alone == ""
    assert message.failure.message.startswith(
        f"{order.unit.target}: the disk is full; free some space"
    )


@pytest.mark.parametrize(
    ("error", "hold", "named"),
    [
        (errno.ENOSPC, Hold.STORAGE, "network.bin: the disk is full; free some space"),
        (errno.EDQUOT, Hold.STORAGE, "network.bin: the disk quota is used up; free some space"),
        (errno.ETIMEDOUT, None, "plugin fill: TimeoutError"),
    ],
)
def test_a_full_disk_that_a_run_meets_in_files_of_its_own_holds_the_job(
    worker: Worker, order: Order, error: int, hold: Hold | None, named: str
) -> None:
    unit = replace(order.unit, work=Train((order.unit.source,)))
    message = attempt(
        worker,
        "w",
        replace(order, unit=unit, task="fill", params={"error": error}),
        lambda *_: None,
        lambda: False,
    )
    assert isinstance(message, UnitFailed)
    assert message.failure.hold is hold
    assert named in message.failure.message


def test_an_attempt_names_the_file_that_alone_cannot_be_read_of_a_storage(
    worker: Worker, order: Order, folder_storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = Path(order.unit.source).read_bytes()
    url = folder_storage.put(".away/a.png", content)
    monkeypatch.setenv("FARM_CACHE", f"{order.unit.target}.cache")
    order = replace(order, unit=replace(order.unit, source=url))

    def failure(*, is_cancelled: bool = False) -> Failure:
        message = attempt(worker, "w", order, lambda *_: None, lambda: is_cancelled)
        assert isinstance(message, UnitFailed)
        assert message.failure.hold is Hold.STORAGE
        return message.failure

    folder_storage.put("b.png", content)
    assert failure().alone == url
    assert failure(is_cancelled=True).alone == ""
    folder_storage.put(".away/b.png", content)
    assert failure().alone == ""


@pytest.mark.parametrize(("kind", "hold"), [(storage_errors, None), (output_errors, Hold.STORAGE)])
def test_an_error_of_the_disk_holds_the_job_only_if_it_occurs_while_an_output_is_written(
    kind: Callable[[str], AbstractContextManager[None]], hold: Hold | None
) -> None:
    with pytest.raises(StorageFailed) as caught, kind("a.png"):
        raise OSError(errno.EIO, os.strerror(errno.EIO))
    failure = classify(caught.value)
    assert (failure.reason, failure.hold) == (Reason.STORAGE, hold)
    assert failure.message.startswith("a.png: ")


def test_other_weights_than_those_of_the_job_are_refused(
    worker: Worker, order: Order, tmp_path: Path
) -> None:
    order = replace(order, task="look")
    run(worker, replace(order, files={weights_key("starter"): starter.SHA256}))
    with pytest.raises(InputChanged, match="network starter has changed since the job was"):
        run(worker, replace(order, files={weights_key("starter"): "0" * 64}))
    weights = str(shutil.copy(starter.WEIGHTS, tmp_path / "copy.safetensors"))
    given = replace(order, params={"weights": weights}, files={weights: "0" * 64})
    with pytest.raises(InputChanged, match=r"copy\.safetensors has changed since the job was"):
        run(worker, given)
