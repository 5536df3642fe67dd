"""The desk: what routes ask of the farm, in the words of the wire.

Any thread may ask. Changes go to the controller's loop; answers come from the ledger and from the
board, so that no question waits for the loop.
"""

from collections.abc import Iterator
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path
from threading import BoundedSemaphore
from typing import Any, Final, TypeVar
from weakref import finalize

from farm import storage
from farm.app import Farm
from farm.errors import (
    Busy,
    Conflict,
    LedgerUnavailable,
    NotFound,
    OutsideRoots,
    UnknownName,
    UserError,
)
from farm.host.presets import presets_of
from farm.host.registry import Registry
from farm.host.task import Run
from farm.media.blank import is_blank
from farm.model.history import UnitRecord
from farm.model.job import Job, JobSpec, JobState, Wanted, in_words
from farm.model.job_counts import JobCounts
from farm.model.sent_files import UPLOADS
from farm.model.unit import UnitState
from farm.model.work import Blend, Render
from farm.planning.short_jobs import is_short
from farm.planning.submission import new_id
from farm.service import views, wire
from farm.service.board import Board
from farm.service.estimates import estimated
from farm.service.event_stream import Feed
from farm.service.previews import Previews
from farm.service.requests import asks_for, spec_of
from farm.service.results import Output, zipped
from farm.service.roots import Roots
from farm.service.run_view import run_view
from farm.service.thumbnails import SIDES, Pictures, Thumbnail
from farm.service.uploads import Uploads

__all__ = ["Desk"]

T = TypeVar("T")

ANSWER_SECONDS: Final = 20.0
"""How long a request waits for the loop."""
PLAN_SECONDS: Final = 5.0
"""How long a submission may wait until its job is planned or refused. It is planned all the same."""
MOST_JOBS: Final = 10_000
"""Jobs that have not ended, and are planned or wait."""
ZIPS: Final = 8
"""Zips that are sent at once."""
ESTIMATES: Final = 4
"""Estimates of long jobs that are made at once; each reads its films from start to end."""


class Desk:
    """What a service can be asked. is_stopping: set when the service takes no more jobs.

    The user's own presets are read when it is made. Raises BadInput if their file is no table of presets.
    """

    def __init__(
        self, registry: Registry, farm: Farm, board: Board, roots: Roots, folder: Path
    ) -> None:
        self.registry, self.ledger, self.board, self.roots = registry, farm.ledger, board, roots
        self._controller = farm.controller
        self.pictures, self.uploads = Pictures(), Uploads(folder / UPLOADS)
        self.previews = Previews(folder / "previews", registry, farm.ledger)
        self.feed = Feed(self._stored_events, farm.ledger.last_event, self._shown_job)
        self._presets = {name: presets_of(task) for name, task in registry.tasks.items()}
        self._zips, self._estimates = BoundedSemaphore(ZIPS), BoundedSemaphore(ESTIMATES)
        self.is_stopping = False
        self.trouble = ""

    # The farm

    def farm(self) -> wire.FarmView:
        """Return the farm in one word, and its figures."""
        scheduler = self._controller.scheduler
        totals, units = self.ledger.job_totals(), scheduler.unit_counts()
        workers = scheduler.worker_counts()
        state, reason = views.farm_state(
            totals, workers, scheduler.room(), self.board.workers(), self.trouble
        )
        return wire.FarmView(
            state=state,
            reason=reason,
            version=version("neural-render-farm"),
            since=self.board.since,
            jobs={state: totals[state] for state in JobState},
            units={state: units[state] for state in UnitState if not state.is_final},
            workers={state: workers[state] for state in ("idle", "busy")},
            room=scheduler.room(),
            throughput=[
                wire.Minute(at=m.at, pixels=m.pixels, units=m.units)
                for m in self.board.throughput()
            ],
        )

    def workers(self) -> wire.Workers:
        """Return every worker with the unit that it holds."""
        held = self.board.held()
        return wire.Workers(
            workers=[views.worker(now, held.get(now.joined.worker)) for now in self.board.workers()]
        )

    def readiness(self) -> wire.Readiness:
        """Return whether the farm takes jobs."""
        if self.is_stopping:
            return wire.Readiness(ready=False, reason="the farm is stopping")
        try:
            self.ledger.job("-")
        except LedgerUnavailable as error:
            return wire.Readiness(ready=False, reason=self.roots.hidden(str(error)))
        return wire.Readiness(ready=not self.trouble, reason=self.trouble)

    def tasks(self) -> wire.Tasks:
        """Return what jobs can do."""
        plugins = {task: plugin.name for plugin in self.registry.plugins for task in plugin.tasks}
        return wire.Tasks(
            tasks=[
                views.task(task, plugins.get(name, ""), self._presets[name], self.roots)
                for name, task in sorted(self.registry.tasks.items())
            ]
        )

    def places(self, under: str, after: str, limit: int) -> wire.Places:
        """Return the names of the roots, or a page of what is in a folder of one, by name."""
        if not under:
            return wire.Places(roots=self.roots.names)
        found = sorted(self.roots.listed(under), key=lambda place: place.path)
        page = [place for place in found if place.path > after][: limit + 1]
        entries = [wire.Entry(path=p.path, kind=p.kind, size=p.size) for p in page[:limit]]
        return wire.Places(
            entries=entries, next=page[limit - 1].path if len(page) > limit else None
        )

    # Jobs

    def submit(self, request: wire.JobRequest, holder: str) -> tuple[Future[Job], bool]:
        """Return the job of a request to come, for submitted, and whether it is new.

        holder: of the token that the request came with, and so the owner. Raises UserError if it is
        refused.
        """
        self._check_open()
        spec = spec_of(request, self.registry, self.roots, holder)
        earlier = self.ledger.job(new_id(request.task, request.token)) if request.token else None
        if earlier and not asks_for(spec, earlier.spec, self.registry):
            raise Conflict(
                f"this token was given for another job: {earlier.id}, which writes "
                f"{self.roots.shown(earlier.spec.output)}; give each job a token of its own"
            )
        answer = self._controller.submit(spec, resume=request.resume, token=request.token)
        return answer, earlier is None

    def submitted(self, answer: Future[Job]) -> wire.JobView:
        """Return a job that has been submitted, or how far its planning has got. Raises UserError."""
        return self._view(self._submitted(answer, 0))

    def _submitted(self, answer: Future[Job], seconds: float) -> Job:
        with suppress(NoAnswer):
            return answer.result(seconds)
        self._controller.accept(answer)
        return self._answer(answer)

    def _check_open(self) -> None:
        if self.is_stopping:
            raise Busy("the farm is stopping; ask the next one")
        totals = self.ledger.job_totals()
        waiting = sum(count for state, count in totals.items() if not state.is_final)
        if waiting >= MOST_JOBS:
            raise Busy(f"{waiting:,} jobs wait, and {MOST_JOBS:,} may; try again later")

    def jobs(
        self,
        state: JobState | None,
        task: str | None,
        owner: str | None,
        after: str,
        limit: int,
    ) -> wire.JobsPage:
        """Return a page of jobs, newest first. A page may be short though more follow.

        after: the next of the page before. Raises UnknownName for a task that neither the farm nor any
        job has.
        """
        page = self.ledger.jobs(self.stored(after) if after else None, limit + 1, state, task)
        if task and not page:
            self.registry.task(task)  # raises UnknownName
        counts = self.ledger.counts_of([job.id for job in page[:limit]])
        return wire.JobsPage(
            jobs=[
                self._view(self._current(job), counts.get(job.id))
                for job in page[:limit]
                if not self.previews.has(job.spec.output) and owner in {None, job.spec.owner}
            ],
            next=page[limit - 1].id if len(page) > limit else None,
        )

    def job(self, job: str) -> wire.JobView:
        """Return a job, with what it waits for as the reason. Raises NotFound.

        job: its id, or the beginning of it, if no other id begins so.
        """
        current = self._current(self.ledger.job_like(job))
        view = self._view(current)
        return view.model_copy(update={"reason": self._waiting(current) or view.reason})

    def change(self, job: str, changes: wire.Changes) -> wire.JobView:
        """Change what is wanted of a job, or its priority. Raises NotFound, Conflict."""
        current = self.stored(job)
        if current.state.is_final:
            hint = "; retry it to go on" if changes.wanted is Wanted.RUN else ""
            raise Conflict(f"job {job} has ended: it is {in_words(current.state)}{hint}")
        if changes.priority is not None:
            current = self._answer(self._controller.set_priority(job, changes.priority))
        if changes.wanted is not None:
            current = self._answer(self._controller.want(job, changes.wanted))
        return self._view(current)

    def units(self, job: str, after: int, limit: int, state: UnitState | None) -> wire.UnitsPage:
        """Return a page of a job's units in their order. Raises NotFound."""
        self.stored(job)
        page = self.ledger.units_page(job, after, limit + 1, state)
        running = self.board.running(job)
        return wire.UnitsPage(
            units=[views.unit(record, running, self.roots) for record in page[:limit]],
            next=page[limit - 1].number if len(page) > limit else None,
        )

    def unit(self, job: str, number: int) -> wire.UnitDetails:
        """Return a unit with all that happened to it. Raises NotFound."""
        record = self.record(job, number)
        view = views.unit(record, self.board.running(job), self.roots)
        story = self.ledger.unit_story(job, record.unit.name)
        return views.unit_details(view, record, story, self.roots)

    def record(self, job: str, number: int) -> UnitRecord:
        """Return what the ledger knows of a unit. Raises NotFound."""
        self.stored(job)
        found = self.ledger.units_page(job, number - 1, 1)
        if not found or found[0].number != number:
            raise NotFound(f"job {job} has no unit {number}")
        return found[0]

    def log(self, job: str, after: int, limit: int) -> wire.StoryPage:
        """Return a page of what happened to a job's units, oldest first. Raises NotFound."""
        self.stored(job)
        page = self.ledger.story(job, after, limit + 1)
        return wire.StoryPage(
            lines=[views.story_line(line, self.roots) for line in page[:limit]],
            next=page[limit - 1].number if len(page) > limit else None,
        )

    def retry(self, job: str, retry: wire.Retry) -> wire.JobView:
        """Let units of a job be tried again, also if it has ended. Raises NotFound, UserError."""
        current = self.stored(job)
        asked = self._controller.retry(
            current.id, retry.units or (), frames=retry.frames or "", redo=retry.redo
        )
        return self._view(self._answer(asked))

    def forget(self, job: str) -> None:
        """Forget a job that has ended; its files stay. Raises NotFound, Conflict."""
        current = self.stored(job)
        if not current.state.is_final:
            raise Conflict(f"job {job} is {current.state}; cancel it first")
        if waiting := self._controller.waiting_for(job):
            raise Conflict(f"job {waiting[0]} waits for job {job}; cancel that one first")
        self.ledger.forget_job(job)

    def why(self, job: str) -> wire.Why:
        """Return what a job waits for. Raises NotFound."""
        waiting = self._waiting(self.stored(job))
        counts = self.ledger.counts(job)
        return wire.Why(waiting=waiting, units={str(s): n for s, n in counts.items()})

    def _waiting(self, job: Job) -> str:
        if job.state.is_final:  # it may be forgotten by now
            return ""
        return self.roots.hidden(self._controller.why(job.id))

    def stored(self, job: str) -> Job:
        """Return a job as it is now. Raises NotFound."""
        if (current := self.ledger.job(job)) is None:
            raise NotFound(f"job {job} is not known to this farm; look for its id among the jobs")
        return self._current(current)

    def _current(self, stored: Job) -> Job:
        """Return a job with how far its planning has got, which is not stored."""
        if stored.state is JobState.PLANNING:
            with suppress(UnknownName):  # it has been refused meanwhile
                return self._controller.job(stored.id)
        return stored

    # Files

    def results(self, job: str, after: int, limit: int) -> wire.Results:
        """Return a page of the files that a job has written. Raises NotFound."""
        places, last = self._output(self.stored(job)).page(after, limit)
        shown = [
            wire.Result(path=self.roots.shown(p.location), size=p.size, unit=p.unit) for p in places
        ]
        return wire.Results(results=shown, next=last)

    def result(self, job: str, path: str, unit: int | None) -> tuple[Path, str]:
        """Return a file that a job has written, on this machine, and its name. Raises NotFound.

        unit: the number of the one that wrote it, if the client knows it.
        """
        output = self._output(self.stored(job))
        location = self.roots.resolve(path)
        return output.find(location, unit), storage.name(location)

    def zip(self, job: str) -> Iterator[bytes]:
        """Return all files that a job has written as a zip, in pieces. Raises NotFound, OutsideRoots, Busy."""
        current = self.stored(job)
        target = storage.absolute(current.spec.output)
        is_folder = self.is_run(current) or storage.is_folder(target)
        folder = target if is_folder else storage.parent(target)
        self._check_reach(folder)
        if not self._zips.acquire(blocking=False):
            raise Busy(f"{ZIPS} zips are being sent; ask again later")
        pieces = zipped(self._output(current), folder)
        finalize(pieces, self._zips.release)  # also if its reader left before the first piece
        return pieces

    def _output(self, job: Job) -> Output:
        return Output(self.ledger, job, is_run=self.is_run(job))

    def unit_picture(self, job: str, number: int, of: str, side: int) -> Thumbnail:
        """Return what a unit reads or has written, small.

        Raises NotFound, BadInput, Busy, and OutsideRoots if it is in no root, or a link to elsewhere.
        """
        unit = self.record(job, number).unit
        if not isinstance(unit.work, Render | Blend):
            raise NotFound(f"unit {number} of job {job} writes no picture")
        is_source = of == "source"
        location = unit.source if is_source else unit.target
        self._check_reach(location)
        moment = unit.work.moment if is_source and isinstance(unit.work, Render) else None
        return self.pictures.small(location, side, moment)

    def _check_reach(self, location: str) -> None:
        """Raise OutsideRoots for a location that is in no root, links followed, and in no preview."""
        if not (is_blank(location) or self.previews.has(location) or self.roots.contains(location)):
            raise OutsideRoots(self.roots.shown(location), "it is in no root of this service")

    def run(self, job: str) -> wire.RunView:
        """Return the curves and pictures of a run. Raises NotFound."""
        return run_view(self._run_folder(job), self.roots)

    def run_picture(self, job: str, path: str) -> Thumbnail:
        """Return a picture of a run. Raises NotFound, OutsideRoots, BadInput."""
        folder, location = self._run_folder(job), self.roots.resolve(path)
        if not location.startswith(f"{folder}/"):
            raise NotFound(f"{storage.name(location)!r} is no picture of this run")
        return self.pictures.small(location, SIDES[-1])

    def _run_folder(self, job: str) -> str:
        current = self.stored(job)
        if not self.is_run(current):
            raise NotFound(f"job {job} trains nothing")
        return storage.absolute(current.spec.output)

    def preview(self, request: wire.PreviewRequest, holder: str) -> wire.JobView:
        """Return the job that renders one picture small. Raises UserError if it is refused."""
        self._check_open()
        output = f"{self.roots.names[0]}/preview.png"
        asked = request.model_copy(update={"output": output, "inputs": request.inputs[:1]})
        spec = spec_of(asked, self.registry, self.roots, holder)
        spec, token = self.previews.prepare(spec, holder)
        try:
            job = self._submitted(self._controller.submit(spec, token=token), PLAN_SECONDS)
        except UserError:
            self.previews.discard(token, spec.task)
            raise
        return self._view(job)

    # Events

    def _stored_events(self, after: int, limit: int) -> list[tuple[int, str, dict[str, Any]]]:
        return [
            (line.number, job, views.story_line(line, self.roots).model_dump() | {"job": job})
            for job, line in self.ledger.events(after, limit)
        ]

    def _shown_job(self, job: str) -> dict[str, Any]:
        return self.job(job).model_dump(mode="json")

    def estimate(self, request: wire.JobRequest, holder: str) -> wire.Estimate:
        """Return what a job would cost. Raises UserError if it would be refused, and Busy."""
        spec = spec_of(request, self.registry, self.roots, holder)
        scheduler = self._controller.scheduler
        with self._place_to_estimate(spec):
            found = estimated(
                spec,
                self.registry,
                self.ledger,
                room=scheduler.room(),
                workers=scheduler.workers(),
                resume=request.resume,
            )
        return found.model_copy(update={"notes": [self.roots.hidden(n) for n in found.notes]})

    @contextmanager
    def _place_to_estimate(self, spec: JobSpec) -> Iterator[None]:
        """Hold one of the few places for estimates; a short job needs none. Raises Busy."""
        if is_short(spec):
            yield
            return
        if not self._estimates.acquire(blocking=False):
            raise Busy(f"{ESTIMATES} estimates are being made; ask again later")
        try:
            yield
        finally:
            self._estimates.release()

    def is_run(self, job: Job) -> bool:
        """Return whether a job trains; False if its plugin is gone."""
        task = self.registry.tasks.get(job.spec.task)
        return task is not None and issubclass(task, Run)

    def _view(self, job: Job, counts: JobCounts | None = None) -> wire.JobView:
        known = counts or self.ledger.counts_of([job.id]).get(job.id) or JobCounts()
        running = self.board.running(job.id)
        is_preview = self.previews.has(job.spec.output)
        pace, notes = self.board.seconds_left, self.board.notes(job.id)
        return views.job(job, known, running, pace, self.roots, notes=notes, is_preview=is_preview)

    @staticmethod
    def _answer(answer: "Future[T]") -> T:
        """Return what the loop answers. Raises Busy if it does not, for example while the ledger is locked."""
        try:
            return answer.result(ANSWER_SECONDS)
        except NoAnswer:
            raise Busy("the farm is busy, and has not answered yet; look again later") from None
