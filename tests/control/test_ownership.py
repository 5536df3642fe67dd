"""Two farms never work on one job or one output; a farm that is overtaken lets go."""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from farm.control.claimed_outputs import ClaimedOutputs
from farm.control.controller import Controller
from farm.control.heart import beating
from farm.errors import BadOutput, UserError
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.ledger.tables import farms
from farm.model.events import JobChanged, Notice, WorkerChanged
from farm.model.history import UnitRecord
from farm.model.job import FilmOptions, JobSpec, JobState, Wanted
from farm.model.messages import Order, Reason
from farm.model.unit import Unit, UnitState
from farm.process import SILENT_SECONDS, this_process
from farm.storage import Entry, add_schemes

from ..fake_clock import FakeClock  # noqa: TID252 - shared
from ..fake_storage import SCHEME, FolderStorage  # noqa: TID252 - shared between rooms
from ..fakes import End, FakeExecutor, scripted  # noqa: TID252 - shared with the contract suite
from ..workbench import Farm, Log, failed, kill  # noqa: TID252 - shared between rooms

S = UnitState
BROKEN = failed(Reason.USER_ERROR, is_fatal=True)

Open = Callable[..., Farm]


@pytest.fixture
def open_farm(registry: Registry, ledger_url: str) -> Iterator[Open]:
    """Open another farm at the same time: ``open_farm({"a": ["hang"]})``. Each has a ledger object."""
    clock, ledgers, controllers = FakeClock(), list[Ledger](), list[Controller]()

    def open_farm(ends: dict[str, list[End]] | None = None, url: str = ledger_url) -> Farm:
        ledger = Ledger.open(url)
        ledgers.append(ledger)
        executor, log = FakeExecutor(scripted(ends or {}), clock=clock), Log()
        controller = Controller(registry, executor, ledger, clock=clock, observers=[log])
        controllers.append(controller)
        return Farm(controller, executor, log, clock)

    yield open_farm
    kill(*controllers)
    for ledger in ledgers:
        ledger.close()


@pytest.fixture
def busy(open_farm: Open, spec: JobSpec) -> Farm:
    """A farm whose unit a is running and does not end."""
    farm = open_farm({"a": ["hang"] * 9})
    farm.controller.add(spec)
    farm.controller.run(lambda: farm.log.states("a")[-1:] == [S.RUNNING])
    return farm


def files(spec: JobSpec) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(spec.output).iterdir()}


def jobs(ledger: Ledger) -> list[tuple[str, JobState]]:
    return [(job.id, job.state) for job in reversed(ledger.jobs())]


@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("is_other_ledger", [False, True])
def test_a_second_job_for_the_same_files_is_refused_and_changes_nothing(
    busy: Farm,
    open_farm: Open,
    spec: JobSpec,
    ledger: Ledger,
    tmp_path: Path,
    *,
    resume: bool,
    is_other_ledger: bool,
) -> None:
    before, recorded = files(spec), jobs(ledger)
    (first, _) = recorded[0]
    other = spec.model_copy(update={"params": {"amount": 0.5}})
    url = f"sqlite:///{tmp_path / 'other.db'}"
    second = open_farm(url=url) if is_other_ledger else open_farm()
    for wanted in (spec, other):
        with pytest.raises(
            BadOutput, match=f"job {first} .* is writing it; wait until it ends, stop it"
        ):
            second.controller.add(wanted, resume=resume)
    assert files(spec) == before
    assert jobs(ledger) == recorded


def test_leftovers_are_removed_only_after_the_output_is_claimed(
    busy: Farm, open_farm: Open, spec: JobSpec
) -> None:
    half = Path(spec.output, ".farm-0123456789abcdef.part")
    half.write_bytes(b"half a picture")
    with pytest.raises(BadOutput):
        open_farm().controller.add(spec)
    assert half.exists()


def test_recovery_leaves_the_jobs_of_living_farms_alone(
    busy: Farm, open_farm: Open, spec: JobSpec
) -> None:
    second = open_farm()
    assert second.controller.recover() == []
    busy.clock.advance(SILENT_SECONDS)
    assert second.controller.recover() == []
    kill(busy.controller)
    assert [job.spec.output for job in second.controller.recover()] == [spec.output]
    assert second.controller.recover() == []


@pytest.mark.parametrize(
    ("wanted", "reason"),
    [(Wanted.RUN, "another farm runs it, or has died"), (Wanted.PAUSE, "paused by its user")],
)
def test_a_farm_says_what_a_job_waits_for_that_it_does_not_hold(
    busy: Farm, open_farm: Open, ledger: Ledger, wanted: Wanted, reason: str
) -> None:
    asked = busy.controller.want(jobs(ledger)[0][0], wanted)
    busy.controller.serve(asked.done)
    assert open_farm().controller.why(asked.result().id).startswith(reason)


def test_what_a_dead_farm_left_half_written_is_gone_when_its_job_has_ended(
    busy: Farm, open_farm: Open, spec: JobSpec
) -> None:
    second = open_farm()
    busy.clock.advance(SILENT_SECONDS)
    kill(busy.controller)
    second.controller.recover()
    half = Path(spec.output, ".farm-0123456789abcdef.part")
    half.write_bytes(b"half a picture")  # by a worker that outlived its farm for a moment
    second.controller.run()
    assert not half.exists()


def test_recovery_takes_a_job_as_its_farm_left_it(
    busy: Farm, open_farm: Open, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = open_farm()
    (listed,) = ledger.unfinished()
    busy.controller.set_priority(listed.id, 90)
    busy.controller.stop()
    busy.controller.close()
    monkeypatch.setattr(second.controller._ledger, "unfinished", lambda: [listed])
    (job,) = second.controller.recover()
    assert job.spec.priority == 90


def test_an_ended_job_frees_its_output(open_farm: Open, spec: JobSpec) -> None:
    open_farm_and_run(open_farm, spec)
    open_farm_and_run(open_farm, spec.model_copy(update={"overwrite": True}))
    assert set(files(spec)) == {"a.png", "b.png", "c.png"}


def open_farm_and_run(open_farm: Open, spec: JobSpec) -> None:
    farm = open_farm()
    farm.controller.add(spec)
    assert farm.run().state is JobState.COMPLETED


def test_a_closed_farm_frees_its_outputs_and_its_jobs_at_once(
    busy: Farm, open_farm: Open, spec: JobSpec, ledger: Ledger
) -> None:
    busy.controller.stop()
    busy.controller.close()
    assert not Path(spec.output).exists()
    (job,) = open_farm().controller.recover()
    assert [record.crashes for record in ledger.units(job.id)] == [0, 0, 0]


def test_a_refused_job_gives_its_output_back(
    open_farm: Open, spec: JobSpec, pictures: Path, tmp_path: Path
) -> None:
    class Interrupted(Ledger):
        def add(self, *_: object) -> None:
            raise KeyboardInterrupt

    farm = open_farm()
    farm.controller._ledger.__class__ = Interrupted
    with pytest.raises(KeyboardInterrupt):
        farm.controller.add(spec)
    assert not Path(spec.output).exists()


# A farm that is taken for dead


def overtake(busy: Farm, open_farm: Open, ledger: Ledger) -> Farm:
    """Let a second farm take the first one's job over, as after a long sleep of the first."""
    busy.clock.advance(SILENT_SECONDS)
    kill(busy.controller)
    second = open_farm()
    assert len(second.controller.recover()) == 1
    return second


def test_a_farm_whose_job_was_taken_over_drops_it_in_words(
    busy: Farm, open_farm: Open, spec: JobSpec, ledger: Ledger
) -> None:
    second = overtake(busy, open_farm, ledger)
    process = second.controller._ledger.process
    before = ledger.story(ledger.jobs()[0].id)
    busy.executor.script = scripted({})
    (job,) = busy.controller.run()
    assert (job.state, job.reason) == (
        JobState.CANCELLED,
        f"job {job.id} was taken over by {process}",
    )
    notes = [event.note for event in busy.log.events if isinstance(event, Notice)]
    (note,) = notes
    assert note == f"{job.reason}; this farm stops working on it and leaves its files alone"
    assert ledger.story(job.id) == before
    assert not [e for e in busy.log.events if isinstance(e, JobChanged) and e.job.state.is_final]
    busy.controller.scheduler.validate()


def test_the_farm_that_took_a_job_over_finishes_it(
    busy: Farm, open_farm: Open, spec: JobSpec, ledger: Ledger
) -> None:
    second = overtake(busy, open_farm, ledger)
    busy.controller.run()
    assert second.run().state is JobState.COMPLETED
    assert set(files(spec)) == {"a.png", "b.png", "c.png"}


def test_other_jobs_go_on_after_one_is_lost(
    busy: Farm, open_farm: Open, spec: JobSpec, ledger: Ledger
) -> None:
    overtake(busy, open_farm, ledger)
    other = spec.model_copy(update={"output": f"{spec.output}other/"})
    busy.controller.add(other)
    busy.executor.script = scripted({})
    lost, done = busy.controller.run()
    assert lost.state is JobState.CANCELLED
    assert (done.spec.output, done.state) == (other.output, JobState.COMPLETED)
    busy.controller.scheduler.validate()


def test_a_farm_does_not_take_back_a_job_that_it_has_lost(
    busy: Farm, open_farm: Open, ledger: Ledger
) -> None:
    second = overtake(busy, open_farm, ledger)
    busy.controller.run()
    second.controller.stop()
    second.controller.close()
    assert busy.controller.recover() == []
    assert len(open_farm().controller.recover()) == 1


def test_an_order_that_could_not_be_stored_is_not_given(
    open_farm: Open, spec: JobSpec, ledger: Ledger
) -> None:
    first = open_farm()
    first.controller.add(spec)
    overtake(first, open_farm, ledger)
    first.controller.run()
    assert first.executor.orders == []
    other = spec.model_copy(update={"output": f"{spec.output}other/"})
    first.controller.add(other)
    assert first.controller.run()[-1].state is JobState.COMPLETED
    first.controller.scheduler.validate()
    workers = {event.worker for event in first.log.events if isinstance(event, WorkerChanged)}
    assert len(workers) == 1


def test_a_farm_that_finds_another_claim_in_place_of_its_own_drops_the_job(
    busy: Farm, open_farm: Open, spec: JobSpec, tmp_path: Path
) -> None:
    (claim,) = Path(spec.output).glob(".farm-*.claim")
    claim.unlink()
    open_farm(url=f"sqlite:///{tmp_path / 'other.db'}").controller.add(spec)
    (job,) = busy.controller.run()
    assert job.state is JobState.CANCELLED
    assert "is writing it" in job.reason


def test_a_farm_shows_life_while_it_runs(
    busy: Farm, open_farm: Open, spec: JobSpec, ledger: Ledger
) -> None:
    began = busy.clock.time()
    busy.controller.run(lambda: busy.clock.time() > began + 300)
    with busy.controller._ledger._engine.connect() as connection:
        (beat,) = connection.exec_driver_sql("SELECT heartbeat FROM farms").scalars()
    assert busy.clock.time() - beat < 15


def test_a_farm_keeps_its_claims_while_it_reads_large_files_to_resume(
    open_farm: Open, spec: JobSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.control.controller.beating", partial(beating, seconds=0.001))
    kept: list[bool] = []

    class Slow(Ledger):
        def finished(self, *of: Any) -> Mapping[str, UnitRecord]:
            (claim,) = Path(spec.output).glob(".farm-*.claim")
            os.utime(claim, (0, 0))
            kept.append(becomes(lambda: claim.stat().st_mtime > 0))
            return super().finished(*of)

    farm = open_farm()
    farm.controller._ledger.__class__ = Slow
    farm.controller.add(spec, resume=True)
    assert kept == [True]


def test_a_farm_shows_life_while_a_remote_storage_does_not_answer(
    open_farm: Open, spec: JobSpec, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.control.decisions.beating", partial(beating, seconds=0.001))
    farm, is_ending, beats = open_farm(), False, list[bool]()

    class Slow(FolderStorage):
        def remove(self, url: str) -> None:
            if is_ending:
                beats.append(beats_meanwhile(farm, ledger))
            super().remove(url)

    add_schemes({"folder": Slow})
    remote = spec.model_copy(update={"output": f"{SCHEME}{tmp_path}/remote/"})
    job = farm.controller.add(remote)
    is_ending = True
    farm.controller.want(job.id, Wanted.CANCEL)
    assert farm.run().state is JobState.CANCELLED
    assert beats == [True]


def test_a_farm_shows_life_while_it_looks_for_working_files_to_try_a_unit_again(
    open_farm: Open, spec: JobSpec, ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where the executor's files go if they have a URL
    monkeypatch.setattr("farm.control.controller.beating", partial(beating, seconds=0.001))
    farm, beats = open_farm(), list[bool]()

    class Slow(FolderStorage):
        def entries(self, folder: str, starts: str = "") -> Iterator[Entry]:
            if is_retried:
                beats.append(beats_meanwhile(farm, ledger))
            return super().entries(folder, starts)

    def script(order: Order) -> End:
        frame = order.unit.name
        return BROKEN if "000002" in frame else "succeed" if "000001" in frame else "hang"

    is_retried = False
    add_schemes({"folder": Slow})
    farm.executor.script = script
    film = {
        "output": f"{SCHEME}{tmp_path}/remote/f_%03d.png",
        "film": FilmOptions(coherence="flow"),
    }
    job = farm.controller.add(spec.model_copy(update=film))
    farm.controller.serve(lambda: farm.controller.scheduler.unit_counts()[S.QUARANTINED] == 1)
    is_retried = True
    answer = farm.controller.retry(job.id)
    farm.controller.serve(answer.done)
    assert answer.result().state is JobState.RUNNING
    is_retried = False
    farm.controller.want(job.id, Wanted.CANCEL)
    assert farm.run().state is JobState.CANCELLED
    assert beats == [True] * len(beats) != []


def beats_meanwhile(farm: Farm, ledger: Ledger) -> bool:
    """Let time pass, and return whether a farm then shows in the ledger that it lives."""
    owner = farm.controller._ledger.process
    farm.clock.advance(1)

    def has_beaten() -> bool:
        with ledger._read() as connection:
            query = select(farms.c.heartbeat).where(farms.c.id == owner.id)
            return bool(connection.scalar(query) == farm.clock.time())

    return becomes(has_beaten)


def becomes(is_so: Callable[[], bool], seconds: float = 30) -> bool:
    """Return whether something becomes true within some seconds."""
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        pass
    return is_so()


def test_two_jobs_do_not_share_a_folder_of_working_files(tmp_path: Path) -> None:
    def units(number: int) -> list[Unit]:
        working = Unit("job", "a", "in.png", f"{tmp_path}/.f_%d.png.farm/1.tif", is_working=True)
        return [working, Unit("job", "b", "in.png", f"{tmp_path}/f_{number}.png", ("a",))]

    first, second = ClaimedOutputs(this_process()), ClaimedOutputs(this_process())
    first.take("first", units(1), 0)
    with pytest.raises(BadOutput, match=r"f_%d\.png\.farm: job first .* is writing it"):
        second.take("second", units(2), 0)
    first.release_all()
    second.take("second", units(2), 0)
    second.release_all()
    assert list(tmp_path.iterdir()) == []


def test_a_job_that_another_farm_has_taken_over_before_it_was_planned_is_left_to_it(
    busy: Farm, open_farm: Open, spec: JobSpec
) -> None:
    (first,) = busy.controller.scheduler._state.jobs
    later = spec.model_copy(update={"output": f"{spec.output}later/", "after": (first,)})
    asked = busy.controller.submit(later)
    busy.controller.serve(asked.done)
    busy.clock.advance(SILENT_SECONDS)
    assert asked.result().id in [job.id for job in open_farm().controller.recover()]
    wish = busy.controller.want(asked.result().id, Wanted.PAUSE)
    busy.controller.serve(wish.done)
    with pytest.raises(UserError, match=r"was taken over by .*; ask that farm"):
        wish.result()
    assert busy.controller.waiting_for(first) == []
