"""Workers that join, leave and show life, and what becomes of jobs for which there is none."""

from farm.errors import FarmBug
from farm.model.events import WorkerChanged
from farm.model.messages import (
    NoWorkers,
    Room,
    WorkerAlive,
    WorkerJoined,
    WorkerLost,
    WorkerRefused,
)
from farm.scheduling.attempts import Attempts
from farm.scheduling.jobs import ScheduledJob
from farm.scheduling.state import SchedulerState

RosterMessage = WorkerJoined | WorkerLost | WorkerRefused | WorkerAlive | Room | NoWorkers


class Roster:
    """Takes the messages about workers. A farm whose policy is to wait fails no job for want of any."""

    def __init__(self, state: SchedulerState, attempts: Attempts) -> None:
        self._state, self._policy, self._attempts = state, state.policy, attempts
        self._refusal = self._none_can_join = ""

    def handle(self, message: RosterMessage, now: float) -> None:
        match message:
            case WorkerJoined():
                self._join(message, now)
            case WorkerLost():
                self._lose(message, now)
            case WorkerRefused(worker, kind, reason):
                self._refusal = f"worker {worker} was refused: {reason}"
                self._state.emit(WorkerChanged(worker, kind, "refused", reason))
            case WorkerAlive(name):
                if living := self._state.workers.get(name):
                    self._state.note_life(living, now)
            case Room(workers):
                self._state.placement.gatherings.room = workers
                self._state.placement.touch_workers()
            case NoWorkers(reason):
                self._none_can_join = reason
                self.check(now)

    def check(self, now: float) -> None:
        """Fail the jobs that have had no worker for too long, or let them say so."""
        seconds = 0.0 if self._none_can_join else self._policy.no_workers_seconds
        for job in self._state.devices.lacking(self._state.workers.has_renderer, seconds, now):
            if self._policy.waits_for_workers:
                self._wait(job)
            else:
                why = self._none_can_join or "no workers left"
                self._state.give_up(job, why, self._reason(job.job.device), now)
                self._state.settle(job)

    def _wait(self, job: ScheduledJob) -> None:
        lack = f"waits for workers: {self._reason(job.job.device)}"
        if job.lack != lack:
            job.lack, job.lacks_workers = lack, True
            self._state.settle(job)

    def _join(self, event: WorkerJoined, now: float) -> None:
        if event.worker in self._state.workers:
            raise FarmBug(f"worker {event.worker} joined twice")
        worker = self._state.workers.add(event, now)
        self._refusal = self._none_can_join = ""
        self._state.emit(WorkerChanged(worker.name, worker.kind, "idle"))
        self._state.placement.touch_worker(worker)
        self._state.placement.touch_workers()
        if self._state.workers.is_first_with_its_device(worker):
            for notice in self._state.devices.notices_for_worker(worker):
                self._state.emit(notice)
            for job in self._state.devices.that_lack(worker.device):
                job.lack, job.lacks_workers = "", False
                self._state.settle(job)
        self.check(now)

    def _lose(self, event: WorkerLost, now: float) -> None:
        worker = self._state.workers.get(event.worker)
        if worker is None:
            return
        self._state.workers.remove(worker)
        self._state.blocklist.forget_worker(worker.name)
        self._state.placement.touch_workers()
        state = "ended" if event.is_surplus else "gone"
        self._state.emit(WorkerChanged(worker.name, worker.kind, state, event.reason))
        if worker.lease:
            self._attempts.take_back(worker, worker.lease, event.reason, now)
        self.check(now)

    def _reason(self, device: str) -> str:
        if self._none_can_join:
            return self._none_can_join
        seconds = f"for {self._policy.no_workers_seconds:.0f} s"
        if self._state.workers.rendering:
            return (
                f"no worker with the device of the first frames ({device}) {seconds}; start one, or "
                "submit the job again without --resume"
            )
        return f"no workers {seconds}; {self._refusal or 'run `farm doctor`'}"
