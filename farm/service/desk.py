"""The desk: what routes ask of the farm, in the words of the wire.

Any thread may ask. Changes go to the controller's loop; answers come from the ledger and from the
board, so that no question waits for the loop.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NoAnswer
from importlib.metadata import version
from typing import Final, TypeVar

from farm.control.controller import Controller
from farm.errors import Busy, Conflict, LedgerUnavailable, NotFound
from farm.host.registry import Registry
from farm.host.task import Run
from farm.ledger import Ledger
from farm.model.job import Job, JobState
from farm.model.unit import UnitState
from farm.planning.submission import new_id
from farm.service import views, wire
from farm.service.board import Board
from farm.service.requests import spec_of
from farm.service.roots import Roots

__all__ = ["Desk"]

T = TypeVar("T")

ANSWER_SECONDS: Final = 20.0
"""How long a request waits for the loop."""
MOST_JOBS: Final = 10_000
"""Jobs that have not ended, and are planned or wait."""


class Desk:
    """What a service can be asked. is_stopping: set when the service takes no more jobs."""

    def __init__(
        self, registry: Registry, controller: Controller, ledger: Ledger, board: Board, roots: Roots
    ) -> None:
        self.registry, self.ledger, self.board, self.roots = registry, ledger, board, roots
        self._controller = controller
        self.is_stopping = False
        self.trouble = ""

    # The farm

    def farm(self) -> wire.FarmView:
        """Return the farm in one word, and its figures."""
        scheduler = self._controller.scheduler
        totals, units = self.ledger.job_totals(), scheduler.unit_counts()
        workers = scheduler.worker_counts()
        state, reason = views.farm_state(
            totals, units, workers, scheduler.room(), self.board.workers(), self.trouble
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
        held = {unit.worker: unit for unit in self.board.running().values()}
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
                views.task(task, plugins.get(name, ""))
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

    def submit(self, request: wire.JobRequest, holder: str) -> tuple[wire.JobView, bool]:
        """Return the job of a request, and whether it is new. Raises UserError if it is refused.

        holder: of the token that the request came with; the owner, unless it names one.
        """
        self._check_open()
        spec = spec_of(request, self.registry, self.roots)
        is_new = not (request.token and self.ledger.job(new_id(request.task, request.token)))
        answer = self._controller.submit(spec, resume=request.resume, token=request.token)
        return self._view(self._answer(answer)), is_new

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
        """Return a page of jobs, newest first. after: the next of the page before."""
        page = self.ledger.jobs(self.stored(after) if after else None, limit + 1, state, task)
        counts = self.ledger.counts_of([job.id for job in page[:limit]])
        return wire.JobsPage(
            jobs=[self._view(job, counts.get(job.id, {})) for job in page[:limit]],
            next=page[limit - 1].id if len(page) > limit else None,
        )

    def job(self, job: str) -> wire.JobView:
        """Return a job. Raises NotFound."""
        return self._view(self.stored(job))

    def change(self, job: str, changes: wire.Changes) -> wire.JobView:
        """Change what is wanted of a job, or its priority. Raises NotFound, Conflict."""
        current = self.stored(job)
        if current.state.is_final:
            raise Conflict(f"job {job} has ended: it is {current.state}")
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

    def record(self, job: str, number: int) -> "views.UnitRecord":
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
        """Let failed units of a job be tried again. Raises NotFound, Conflict."""
        current = self.stored(job)
        if retry.redo or retry.frames:
            raise Conflict("a range of frames cannot be rendered again yet")
        if current.state.is_final:
            raise Conflict(f"job {job} has ended: it is {current.state}; submit it with resume")
        return self._view(self._answer(self._controller.retry(job, retry.units or ())))

    def forget(self, job: str) -> None:
        """Forget a job that has ended; its files stay. Raises NotFound, Conflict."""
        current = self.stored(job)
        if not current.state.is_final:
            raise Conflict(f"job {job} is {current.state}; cancel it first")
        self.ledger.forget_job(job)

    def why(self, job: str) -> wire.Why:
        """Return what a job waits for. Raises NotFound."""
        current = self.stored(job)
        waiting = "" if current.state.is_final else self.roots.hidden(current.reason)
        counts = self.ledger.counts(job)
        return wire.Why(waiting=waiting, units={str(s): n for s, n in counts.items()})

    def stored(self, job: str) -> Job:
        """Return a job as it is now. Raises NotFound."""
        if (current := self.ledger.job(job)) is None:
            raise NotFound(f"job {job} is not known; see GET /api/jobs")
        return current

    def estimate(self, request: wire.JobRequest) -> wire.Estimate:
        """Return what a job would cost. Raises UserError if it would be refused."""
        spec_of(request, self.registry, self.roots)
        raise Busy("the farm cannot tell yet")

    def is_run(self, job: Job) -> bool:
        """Return whether a job trains; False if its plugin is gone."""
        task = self.registry.tasks.get(job.spec.task)
        return task is not None and issubclass(task, Run)

    def _view(self, job: Job, counts: Mapping[UnitState, int] | None = None) -> wire.JobView:
        known = self.ledger.counts(job.id) if counts is None else counts
        running = self.board.running(job.id)
        return views.job(job, known, running, self.board.seconds_left, self.roots)

    @staticmethod
    def _answer(answer: "Future[T]") -> T:
        """Return what the loop answers. Raises Busy if it does not, for example while the ledger is locked."""
        try:
            return answer.result(ANSWER_SECONDS)
        except NoAnswer:
            raise Busy("the farm is busy, and has not answered yet; look again later") from None
