"""Units of a job are tried again when the user wants it, also those of a job that has ended."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from farm.errors import (
    BadOutput,
    BadParameter,
    Busy,
    Conflict,
    JobHeld,
    UnknownName,
    UserError,
)
from farm.ledger import Ledger
from farm.model.job import FilmOptions, Job, JobSpec, JobState, Wanted
from farm.model.messages import Reason
from farm.model.unit import UnitState
from farm.scheduling.policy import Policy

from ..fakes import scripted  # noqa: TID252 - shared with the contract suite
from ..workbench import Farm, MakeFarm, failed  # noqa: TID252 - shared between rooms
from .test_patience import hurry, locked

S = UnitState
BROKEN = failed(Reason.USER_ERROR, is_fatal=True)


def ended(farm: Farm, spec: JobSpec) -> Job:
    """Run a job to its end."""
    farm.controller.add(spec)
    return farm.run()


def ask(farm: Farm, job: Job, *units: str, **how: Any) -> Job:
    """Retry a job, and return it as it is then. Raises what the farm raises."""
    farm.executor.orders.clear()
    answer = farm.controller.retry(job.id, units, **how)
    farm.controller.serve(answer.done)
    return answer.result()


def go_on(farm: Farm, job: Job) -> Job:
    """Serve until a job has ended, and return it."""
    farm.controller.serve(lambda: farm.controller.job(job.id).state.is_final)
    farm.controller.scheduler.validate()
    return farm.controller.job(job.id)


def rendered(farm: Farm) -> list[str]:
    return [order.unit.name for order in farm.executor.orders]


def test_failed_units_of_a_job_that_has_ended_are_tried_again(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"a": [BROKEN, "hang"]})
    job = ended(farm, spec)
    assert job.state is JobState.COMPLETED_WITH_FAILURES
    again = ask(farm, job)
    assert (again.id, again.state.is_final, again.reason) == (job.id, False, "")
    assert [stored.id for stored in ledger.unfinished()] == [job.id]
    farm.executor.script = scripted({})
    done = go_on(farm, job)
    assert (done.state, done.reason, ledger.job(job.id)) == (JobState.COMPLETED, "", done)
    assert rendered(farm) == ["a"]
    assert ledger.counts(job.id) == {S.SUCCEEDED: 3}
    assert Path(spec.output, "a.png").is_file()


def test_failed_units_are_tried_again_by_another_farm(make_farm: MakeFarm, spec: JobSpec) -> None:
    job = ended(make_farm({"b": [BROKEN]}), spec)
    farm = make_farm()
    ask(farm, job)
    assert go_on(farm, job).state is JobState.COMPLETED
    assert rendered(farm) == ["b"]


def test_a_cancelled_job_goes_on_where_it_was(make_farm: MakeFarm, spec: JobSpec) -> None:
    farm = make_farm({"b": ["hang"]})
    job = farm.controller.add(spec)
    farm.controller.serve(lambda: S.RUNNING in farm.log.states("b"))
    farm.controller.want(job.id, Wanted.CANCEL)
    assert go_on(farm, job).state is JobState.CANCELLED
    assert ask(farm, job).wanted is Wanted.RUN
    assert go_on(farm, job).state is JobState.COMPLETED
    assert rendered(farm) == ["b", "c"]


def test_a_job_that_failed_as_a_whole_goes_on(make_farm: MakeFarm, spec: JobSpec) -> None:
    farm = make_farm({name: [BROKEN] for name in "abc"})
    job = ended(farm, spec)
    assert job.state is JobState.FAILED
    ask(farm, job)
    assert go_on(farm, job).state is JobState.COMPLETED


def test_a_farm_that_is_killed_after_a_retry_goes_on_with_it(
    make_farm: MakeFarm, spec: JobSpec
) -> None:
    farm = make_farm({"a": [BROKEN, "hang"]})
    job = ended(farm, spec)
    ask(farm, job)
    farm.controller.serve(lambda: farm.log.states("a")[-1] is S.RUNNING)
    after = make_farm()
    assert [taken.id for taken in after.controller.recover()] == [job.id]
    assert go_on(after, job).state is JobState.COMPLETED
    assert rendered(after) == ["a"]


def test_a_unit_that_is_tried_again_has_all_its_tries_also_after_a_kill(
    make_farm: MakeFarm, spec: JobSpec
) -> None:
    wrong = failed(Reason.PLUGIN_ERROR)
    tries = Policy().tries[Reason.PLUGIN_ERROR]
    farm = make_farm({"a": [*[wrong] * tries, "hang"]})
    job = ended(farm, spec)
    assert job.reason == "1 of 3 units failed"
    ask(farm, job)
    farm.controller.serve(lambda: farm.log.states("a")[-1] is S.RUNNING)
    after = make_farm({"a": [wrong] * 3 * tries})
    after.controller.recover()
    go_on(after, job)
    assert after.log.states("a").count(S.RUNNING) == tries


@pytest.mark.parametrize("how", [{}, {"frames": "1"}])
def test_a_retry_that_is_asked_for_again_changes_nothing(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger, how: Any
) -> None:
    farm = make_farm({"a": [BROKEN, "hang"]})
    job = ended(farm, spec)
    ask(farm, job, **how)
    farm.controller.serve(lambda: farm.log.states("a")[-1] is S.RUNNING)
    running, told = farm.controller.job(job.id), ledger.last_event()
    assert ask(farm, job, **how) == running
    assert ledger.last_event() == told
    after = make_farm()
    after.controller.recover()
    assert ask(after, job, **how).id == job.id
    assert go_on(after, job).state is JobState.COMPLETED
    assert after.log.states("a").count(S.SUCCEEDED) == 1
    with pytest.raises(Conflict, match="failed; to render finished ones again"):
        ask(after, job, **how)


# Frames that succeeded


def test_a_range_of_frames_is_rendered_again(
    make_farm: MakeFarm, spec: JobSpec, pictures: Path
) -> None:
    farm = make_farm()
    job = ended(farm, spec)
    (pictures / "b.png").write_bytes(b"new")
    ask(farm, job, frames="2-3", redo=True)
    assert go_on(farm, job).state is JobState.COMPLETED
    assert rendered(farm) == ["b", "c"]
    assert Path(spec.output, "b.png").read_bytes() == b"new"


@pytest.fixture
def coherent(pictures: Path, tmp_path: Path) -> JobSpec:
    """Three numbered pictures, each of which continues the one before."""
    film = FilmOptions(coherence="flow")
    output = f"{tmp_path / 'out'}/f_%03d.png"
    return JobSpec(task="copy", inputs=(str(pictures),), output=output, film=film)


def numbers(farm: Farm) -> list[str]:
    """Return the units that were rendered: frames by number, written pictures with a w."""
    names = [
        name.replace("/written", "w").rpartition("/")[2].lstrip("0") for name in rendered(farm)
    ]
    return sorted(names)


def test_what_needs_a_frame_is_made_again_with_it_and_what_it_needs_if_that_is_gone(
    make_farm: MakeFarm, coherent: JobSpec
) -> None:
    farm = make_farm()
    job = ended(farm, coherent)
    ask(farm, job, frames="2-2", redo=True)
    done = go_on(farm, job)
    assert done.state is JobState.COMPLETED
    assert numbers(farm) == ["1", "2", "2w", "3", "3w"]
    folder = Path(coherent.output).parent
    assert sorted(path.name for path in folder.iterdir()) == [f"f_{n:03}.png" for n in (1, 2, 3)]


def test_a_failed_frame_is_tried_again_with_what_was_made_without_it_alone(
    make_farm: MakeFarm, coherent: JobSpec
) -> None:
    first = make_farm.scripted(lambda order: BROKEN if "000002" in order.unit.name else "succeed")
    job = ended(first, coherent)
    assert job.state is JobState.COMPLETED_WITH_FAILURES
    farm = make_farm()
    ask(farm, job)
    assert go_on(farm, job).state is JobState.COMPLETED
    assert numbers(farm) == ["2", "2w", "3", "3w"]


def test_frames_of_a_job_that_runs_are_rendered_again(make_farm: MakeFarm, spec: JobSpec) -> None:
    farm = make_farm({"c": ["hang"]})
    job = farm.controller.add(spec)
    farm.controller.serve(lambda: S.RUNNING in farm.log.states("c"))
    ask(farm, job, "a", redo=True)
    farm.executor.script = scripted({})
    assert go_on(farm, job).state is JobState.COMPLETED
    assert farm.log.states("a").count(S.SUCCEEDED) == 2
    assert farm.log.states("b").count(S.SUCCEEDED) == 1


# Refusals


@pytest.mark.parametrize(
    ("how", "error", "words"),
    [
        ({}, Conflict, "no frame of it failed; to render finished ones again"),
        ({"frames": "1"}, Conflict, "none of these frames failed"),
        ({"redo": True}, BadParameter, "it needs the frames to render again"),
        (
            {"frames": "7-9", "redo": True},
            BadParameter,
            "the job has no frame in 7-9; it has 1 to ",
        ),
        ({"frames": "x"}, BadParameter, "'x' is not a range"),
    ],
)
def test_a_retry_of_nothing_is_refused_and_changes_nothing(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger, how: Any, error: type[UserError], words: str
) -> None:
    farm = make_farm()
    job = ended(farm, spec)
    with pytest.raises(error, match=words):
        ask(farm, job, **how)
    assert ledger.job(job.id) == job
    assert farm.controller.scheduler.is_done
    with pytest.raises(UnknownName, match="unknown unit 'z'"):
        ask(farm, job, "z")


def test_a_job_that_was_never_planned_cannot_be_tried_again(
    make_farm: MakeFarm, spec: JobSpec
) -> None:
    farm = make_farm({"a": ["hang"]})
    first = farm.controller.add(spec)
    other = spec.model_copy(update={"output": f"{spec.output}other/", "after": (first.id,)})
    answer = farm.controller.submit(other)
    farm.controller.serve(answer.done)
    farm.controller.want(answer.result().id, Wanted.CANCEL)
    with pytest.raises(Conflict, match="ended before it was planned; submit it again"):
        ask(farm, answer.result())


def test_a_job_is_not_tried_again_before_its_end_is_stored(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger, ledger_url: str
) -> None:
    event.listen(ledger._engine, "checkout", hurry)
    farm = make_farm({"c": ["hang"]})
    job = farm.controller.add(spec)
    farm.controller.serve(lambda: S.RUNNING in farm.log.states("c"))
    with locked(Path(ledger_url.removeprefix("sqlite:///"))):
        farm.executor.script = scripted({})
        farm.controller.serve(lambda: farm.controller.scheduler.is_done)
        asked = farm.controller.retry(job.id, ["a"], redo=True)
    farm.controller.serve(asked.done)
    with pytest.raises(Busy, match="the ledger cannot store it yet"):
        asked.result()
    assert go_on(farm, job).state is JobState.COMPLETED
    assert ask(farm, job, "a", redo=True).state is JobState.RUNNING
    assert go_on(farm, job).state is JobState.COMPLETED
    assert ledger.counts(job.id) == {S.SUCCEEDED: 3}


def test_a_job_whose_outputs_another_job_writes_now_is_not_tried_again(
    make_farm: MakeFarm, spec: JobSpec, ledger: Ledger
) -> None:
    farm = make_farm({"a": [BROKEN]})
    job = ended(farm, spec)
    farm.executor.script = scripted({"b": ["hang"]})
    other = farm.controller.add(spec.model_copy(update={"overwrite": True}))
    with pytest.raises(BadOutput, match=other.id):
        ask(farm, job)
    assert ledger.job(job.id) == job
    farm.executor.script = scripted({})
    assert go_on(farm, other).state is JobState.COMPLETED
    ask(farm, job)
    assert go_on(farm, job).state is JobState.COMPLETED


def test_a_job_that_another_farm_tries_again_is_left_to_it(
    make_farm: MakeFarm, spec: JobSpec, ledger_url: str
) -> None:
    farm = make_farm({"a": [BROKEN, "hang"]})
    job = ended(farm, spec)
    ask(farm, job)
    other = Ledger.open(ledger_url)
    with pytest.raises(JobHeld):
        other.reopen(job.id, farm.clock.time())
    other.close()


def test_a_job_that_was_tried_again_is_counted_once(make_farm: MakeFarm, spec: JobSpec) -> None:
    farm = make_farm({"a": [BROKEN]})
    job = ended(farm, spec)
    ask(farm, job)
    go_on(farm, job)
    scheduler = farm.controller.scheduler
    assert +scheduler.job_counts() == {JobState.COMPLETED: 1}
    assert +scheduler.unit_counts() == {S.SUCCEEDED: 3}
    assert scheduler.frame_count() == 3
