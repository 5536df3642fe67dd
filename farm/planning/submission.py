"""Turns a spec into a job: checks it, plans its units and skips the finished ones.

Stores nothing and schedules nothing, so it may be called from any thread.
"""

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Protocol

from farm import storage
from farm.host.registry import Registry
from farm.host.schedule import Schedule
from farm.host.task import NetworkParams, Run
from farm.host.vetting import validate_params
from farm.media.blank import is_blank
from farm.media.film import may_be_film
from farm.model.events import Notice, ReadProgress
from farm.model.frame_range import FrameRange
from farm.model.history import RestoredUnit, UnitRecord
from farm.model.job import COMPLETED, Job, JobSpec, changes
from farm.model.messages import Figures
from farm.model.unit import Unit, UnitState
from farm.planning.checking import Check, Needs, check_files, task_needs, unchecked
from farm.planning.contents import Contents, run_inputs
from farm.planning.existing import ADVICE, NOT_BEGUN, check_free
from farm.planning.film_needs import is_endless, least_coherence, with_least_coherence
from farm.planning.footage import read_footage
from farm.planning.inputs import Source, list_inputs
from farm.planning.misfits import without_misfits
from farm.planning.outputs import Inputs, check_output, check_run_folder, film_targets
from farm.planning.plan import Footage, plan_run, plan_units
from farm.planning.recordable import check_names
from farm.planning.resume import finished_units, frames_of, is_same_work
from farm.planning.sharing import is_shared
from farm.planning.times import check_schedule, notices_of_times
from farm.storage import look_at

Notify = Callable[[ReadProgress | Notice], None]


class History(Protocol):
    """What planning asks about earlier jobs. The ledger implements it."""

    def find(self, key: str) -> Job | None:
        """Return the latest job with this key."""

    def job(self, job: str) -> Job | None:
        """Return the job with this id."""

    def latest(self, task: str, output: str) -> Job | None:
        """Return the latest job with this task and output."""

    def finished(self, key: str, targets: Collection[str]) -> Mapping[str, UnitRecord]:
        """Return the latest success for each of the targets, among all jobs with this key."""

    def crashes(self, key: str, targets: Collection[str]) -> Counter[str]:
        """Return for each of the targets how many farms in a row died while they held its unit."""


@dataclass(frozen=True)
class Submission:
    """A planned job. replaces: the latest job with the same key, if it is resumed."""

    job: Job
    units: tuple[RestoredUnit, ...]
    replaces: Job | None = None


class Planner:
    """Plans jobs.

    notify: receives how much of a film has been read, and what the user should know before work
    starts. check: of the task itself. check_resumed: raises UserError for a run that is not continued by
    the job, which has the digests of its files. claim: called with the job and its units before anything on disk
    is changed; raises BadOutput if another job writes the same files.
    """

    def __init__(
        self,
        registry: Registry,
        history: History,
        notify: Notify,
        check: Check = unchecked,
        claim: Callable[[str, Sequence[Unit]], None] = lambda _job, _units: None,
        *,
        check_resumed: Callable[[JobSpec], None] = lambda _spec: None,
    ) -> None:
        self._registry, self._history = registry, history
        self._check_resumed = check_resumed
        self._notify, self._check_task, self._claim = notify, check, claim
        self._contents = Contents(registry, notify)

    def plan(
        self, spec: JobSpec, created: float, *, resume: bool = False, name: str = ""
    ) -> Submission:
        """Return the job of a spec with its units. Raises UserError.

        created: Unix time in seconds. resume: skip units that an equal job has finished and whose
        files have not changed since. name: id of the job; empty for a new one.
        """
        spec = self._complete(spec)
        sources = self._sources(spec)
        needs = task_needs(self._registry, spec)
        inputs = self._check(spec, sources, needs, is_resumed=resume)
        job, units = self._plan_units(spec, sources, needs, created, name or new_id(spec.task))
        inputs.check(unit.target for unit in units)
        check_names(spec, units)
        self._claim(job.id, units)
        earlier = self._history.latest(spec.task, spec.output) if resume else None
        is_run = issubclass(self._registry.task(spec.task), Run)  # whose folder tells by itself
        if resume and is_run:
            self._check_resumed(job.spec)
        if not spec.overwrite and not (resume and (is_run or earlier)):
            targets = (unit.target for unit in units if not unit.is_working)
            check_free(targets, NOT_BEGUN if resume else ADVICE)
        for folder in {storage.parent(unit.target) for unit in units}:
            storage.remove_leftovers(folder)
        if not resume:
            for note in self._note_on_unfinished(job.spec, units):
                self._notify(Notice(spec.output, note))
            return Submission(job, tuple(_new(unit) for unit in units))
        return self._resume(job, units, earlier)

    def _complete(self, spec: JobSpec) -> JobSpec:
        """Return the spec with every parameter filled in and every path absolute."""
        task = self._registry.task(spec.task)
        params = validate_params(task, spec.params)
        if isinstance(params, NetworkParams) and params.network not in self._registry.networks:
            lasting = self._registry.network(params.network).lasting_name
            params = params.model_copy(update={"network": lasting or params.network})
        return spec.model_copy(
            update={
                "params": params.model_dump(mode="json"),
                "film": with_least_coherence(spec.film, task),
                "inputs": tuple(_absolute_input(path) for path in spec.inputs),
                "output": _absolute(spec.output),
            }
        )

    def _sources(self, spec: JobSpec) -> list[Source]:
        """Return the inputs of a spec. Raises UserError, also for frames that are no range."""
        if spec.frames:
            FrameRange.parse(spec.frames)
        is_run = issubclass(self._registry.task(spec.task), Run)
        return list_inputs(_listed(spec.inputs) if is_run else spec.inputs, self._notify)

    def _check(
        self, spec: JobSpec, sources: Sequence[Source], needs: Needs, *, is_resumed: bool
    ) -> Inputs:
        """Return all that a spec reads. Raises UserError if it cannot be planned."""
        check_files(spec, needs)
        if issubclass(self._registry.task(spec.task), Run):
            check_run_folder(spec.output, is_resumed=is_resumed)
            urls = (source.url for source in sources)
            inputs = Inputs([*needs.files, *run_inputs(spec.inputs, sources), *urls])
        else:
            inputs = check_output(spec.output, sources, needs.files, spec.frames)
            if not (is_resumed or spec.overwrite):
                films = film_targets(spec.output, sources, spec.frames)
                check_free(films)  # before they are read
            schedule, endless = self._schedule(spec), is_endless(self._registry.task(spec.task))
            check_schedule(schedule, spec, sources, is_endless=endless)
        for note in self._check_task(spec):
            self._notify(Notice(spec.task, note))
        return inputs

    def _schedule(self, spec: JobSpec) -> Schedule | None:
        return Schedule.of(validate_params(self._registry.task(spec.task), spec.params))

    def _plan_units(
        self, spec: JobSpec, sources: Sequence[Source], needs: Needs, created: float, name: str
    ) -> tuple[Job, tuple[Unit, ...]]:
        """Return the job of a checked spec, with the digests of its files, and its units."""
        task = self._registry.task(spec.task)
        files, films = needs.files, dict[str, str]()
        if issubclass(task, Run):
            files = (*files, *run_inputs(spec.inputs, sources))
            target = storage.join(spec.output, task.result)
            units = plan_run(name, task.name, spec.inputs, target, spec.workers)
        else:
            footage, films = self._read_footage(spec, sources)
            footage = without_misfits(footage, needs.masks, spec.plan.size)
            may_share = spec.workers != 1 and is_shared(footage, spec.plan)
            workers = spec.workers if may_share else 1
            units = plan_units(name, footage, spec.film, workers)
        digests = self._contents.of_files(files) | self._contents.of_networks(needs.networks)
        plugin = self._registry.edition(spec.task)
        spec = spec.model_copy(update={"files": digests, "films": films, "plugin": plugin})
        return Job(name, spec, created, since=created), units

    def _read_footage(
        self, spec: JobSpec, sources: Sequence[Source]
    ) -> tuple[Footage, dict[str, str]]:
        """Return what an effect's job renders, and the digest of each film."""
        task = self._registry.task(spec.task)
        least, endless = least_coherence(task), is_endless(task)
        before = {url: look_at(url) for source in sources if may_be_film(url := source.url)}
        footage = read_footage(spec, sources, self._notify, least=least, is_endless=endless)
        params = validate_params(task, spec.params)
        for notice in notices_of_times(params, spec.frames, footage.sequences):
            self._notify(notice)
        origins = (sequence.origin for sequence in footage.sequences if sequence.origin)
        return footage, self._contents.of_films(origins, before)

    def _resume(self, job: Job, units: Sequence[Unit], earlier: Job | None) -> Submission:
        """Skip what an equal job has finished. earlier: the latest with this output, equal or not."""
        key = job.spec.key
        latest = self._history.find(key)
        if latest is None and earlier:
            self._explain_restart(earlier.spec, job.spec)
        targets = [unit.target for unit in units]
        records = self._history.finished(key, targets)
        finished = finished_units(units, records, cache(self._is_unchanged))
        crashes = self._history.crashes(key, targets)
        # The user or the frame itself may have killed the farm. Such frames come last.
        ordered = sorted(units, key=lambda unit: crashes[unit.target])
        restored = (
            replace(
                RestoredUnit(unit, UnitState.SKIPPED) if unit.name in finished else _new(unit),
                crashes=crashes[unit.target],
                figures=_figures_of(unit, records.get(unit.target)),
            )
            for unit in ordered
        )
        kept = {records[unit.target].unit.job for unit in units if unit.name in finished}
        for note in self._note_on_other_plugins(job.spec, kept):
            self._notify(Notice(job.spec.output, note))
        return Submission(replace(job, device=self._device_of(kept)), tuple(restored), latest)

    def _note_on_unfinished(self, spec: JobSpec, units: Sequence[Unit]) -> Iterator[str]:
        """Yield a note if an equal job has not ended well and has frames that could be kept."""
        earlier = self._history.find(spec.key)
        if earlier is None or earlier.state in COMPLETED or earlier.spec.films != spec.films:
            return
        records = self._history.finished(spec.key, [unit.target for unit in units])
        finished = finished_units(units, records, cache(_is_there))
        done = frames_of(unit for unit in units if unit.name in finished)
        if done:
            count = f"{len(done)} of {len(frames_of(units))} frames"
            yield f"{count} that job {earlier.id} finished are rendered anew; --resume would keep those that are still the same"

    def _note_on_other_plugins(self, spec: JobSpec, kept: Collection[str]) -> Iterator[str]:
        """Yield a note if jobs whose frames are kept had another version of the plugin."""
        earlier = [job.spec.plugin for name in kept if (job := self._history.job(name))]
        if others := sorted({plugin for plugin in earlier if plugin} - {spec.plugin}):
            yield (
                f"finished frames are kept that plugin {', '.join(others)} rendered; it is {spec.plugin} "
                "now; --overwrite in place of --resume renders all of them anew"
            )

    def _device_of(self, jobs: Collection[str]) -> str:
        """Return the device of the latest of these jobs that has one."""
        found = [job for name in jobs if (job := self._history.job(name))]
        found.sort(key=lambda job: job.created)
        return next((job.device for job in reversed(found) if job.device), "")

    def _is_unchanged(self, path: str, sha256: str) -> bool:
        """Return whether a file still has a SHA-256. A source that is no file never changes."""
        return (self._contents.sha256(path) if _is_file(path) else "") == sha256

    def _explain_restart(self, earlier: JobSpec, spec: JobSpec) -> None:
        """Report how an earlier job with the same output differs, so that none of it is skipped."""
        task, reasons = self._registry.task(spec.task), "; ".join(changes(earlier, spec))
        note = f"nothing can be reused: {reasons}; every frame will be rendered"
        if issubclass(task, Run):
            note = f"the last job in this folder differs: {reasons}"
            if task.facts is Run.facts:  # or else its checkpoint has been compared
                note += f"; `{spec.task}` decides whether its run can be continued"
        self._notify(Notice(spec.output, note))


def _listed(inputs: Sequence[str]) -> list[str]:
    """Return the inputs of a run that are no folders; what is in a folder is for the run to say."""
    return [path for path in inputs if is_blank(path) or not storage.is_folder(path)]


def _is_there(path: str, sha256: str) -> bool:
    """Return whether a file with a digest is there, whatever is in it now; a source that is no file has none.

    A remote file is believed to be there: to ask for each would take long, only for a note.
    """
    return storage.is_remote(path) or _is_file(path) == bool(sha256)


def _is_file(source: str) -> bool:
    return bool(source) and not is_blank(source) and storage.is_file(source)


def _new(unit: Unit) -> RestoredUnit:
    return RestoredUnit(unit, UnitState.BLOCKED if unit.needs else UnitState.READY)


def _figures_of(unit: Unit, record: UnitRecord | None) -> Figures | None:
    """Return what an earlier success of the same unit cost, which the job carries on."""
    if record is None or not is_same_work(record.unit, unit):
        return None
    return record.figures


def _absolute_input(path: str) -> str:
    return path if is_blank(path) else _absolute(path)


def _absolute(path: str) -> str:
    """Return a local path as an absolute one, so that a job means the same in every folder."""
    return storage.absolute(path) + ("/" if path.endswith("/") else "")


def new_id(task: str, token: str = "") -> str:
    """Return an id for a job. token: gives the same id each time; empty for one that is unique."""
    name = hashlib.sha256(token.encode()).hexdigest()[:16] if token else secrets.token_hex(4)
    return f"{task}-{name}"
