"""Carries attempts through: from an order, by one worker or several, to the message that ends it.

Workers first look for the files, where some of them may not see any; those that share an order also learn
where they meet. Then they run. Which workers there are is the pool's business.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Final, final

from farm.errors import FarmBug
from farm.model.messages import Message, Order, UnitFailed, UnitStarted, UnitSucceeded
from farm.storage import remove_file
from farm_cluster.actor import End, Unseen
from farm_cluster.attempt import Attempt
from farm_cluster.group import Seat
from farm_cluster.member import Member, control
from farm_cluster.visibility import UnseenPaths, leave_mark, read_files

__all__ = ["Attempts"]

_END_SECONDS: Final = 5.0
"""How long workers of a group that broke may take to come out of it before they are restarted."""


@final
class Attempts:
    """The attempts of a pool.

    members: of the pool, by name. send: passes a message on. restart: gives a worker a new process.
    """

    def __init__(
        self,
        members: Mapping[str, Member],
        send: Callable[[Message], None],
        restart: Callable[[Member], None],
    ) -> None:
        self._members, self._send, self._restart = members, send, restart
        self._unseen = UnseenPaths()

    def assign(self, workers: Sequence[str], order: Order) -> None:
        """Begin an attempt, unless a worker is gone. Raises FarmBug if one is not idle."""
        members = [self._members[name] for name in workers if name in self._members]
        if len(members) < len(workers):
            return
        for member in members:
            if not member.has_joined or member.attempt is not None:
                raise FarmBug(f"{member.name} was given {order.unit.name} while it was not idle")
        attempt = Attempt(tuple(workers), order)
        for member in members:
            member.attempt = attempt
        self._begin(attempt)

    def cancel(self, worker: str, token: str) -> None:
        """Ask the first worker of an attempt to stop; before it has begun, end it."""
        member = self._members.get(worker)
        attempt = member.attempt if member else None
        if member is None or attempt is None or attempt.order.token != token:
            return
        attempt.is_cancelled = True
        if not attempt.has_begun:
            self._finish(attempt, attempt.cancelled())
        elif member.running is not None:
            control(member.actor.cancel).remote(token)

    def _of(self, attempt: Attempt) -> list[Member]:
        """Return the workers that hold the attempt; those that were lost are missing."""
        found = (self._members.get(name) for name in attempt.workers)
        return [member for member in found if member and member.attempt is attempt]

    def _begin(self, attempt: Attempt) -> None:
        """Let the workers look for the files, or run, once all of them are ready."""
        members = self._of(attempt)
        if not all(member.is_ready for member in members):
            return
        attempt.has_begun = True
        order = attempt.order
        folder = Path(order.unit.target).parent
        if not all(folder in member.folders for member in members):
            attempt.mark = leave_mark(order)
        paths = [str(attempt.mark)] if attempt.mark else []
        if attempt.is_shared:
            paths += read_files(order)
            members[0].meeting = members[0].actor.meet.remote()
        elif not paths:
            self._run(attempt)
            return
        for member in members:
            member.looking = member.actor.find_unseen.remote(paths)

    def on_looked(self, member: Member, unseen: str) -> None:
        """Note what a worker does not see, if anything."""
        member.looking = None
        if member.attempt is not None and member.attempt.has_begun and unseen:
            member.attempt.unseen[member.name] = unseen
        self.go_on(member)

    def on_met(self, member: Member, port: int) -> None:
        """Note where the workers meet."""
        member.meeting = None
        if member.attempt is not None and member.attempt.has_begun:
            member.attempt.port = port
        self.go_on(member)

    def go_on(self, member: Member) -> None:
        """Take the next step of the attempt that a worker holds, if all its workers are ready."""
        attempt = member.attempt
        if attempt is None or not all(member.is_ready for member in self._of(attempt)):
            return
        if not attempt.has_begun:
            self._begin(attempt)
            return
        _remove_mark(attempt)
        if attempt.is_cancelled:
            self._finish(attempt, attempt.cancelled())
        elif attempt.unseen:
            self._finish(attempt, self._not_shared(attempt))
        else:
            self._note_seen(attempt)
            self._run(attempt)

    def _note_seen(self, attempt: Attempt) -> None:
        folder = Path(attempt.order.unit.target).parent
        for member in self._of(attempt):
            member.folders.add(folder)
            self._unseen.note_seen(str(folder), member.name)

    def _run(self, attempt: Attempt) -> None:
        order, members = attempt.order, self._of(attempt)
        files = () if attempt.is_shared else read_files(order)
        for rank, member in enumerate(members):
            host = members[0].slot.host
            seat = Seat(rank, len(members), host, attempt.port) if attempt.is_shared else None
            member.running = member.actor.run.remote(order, files, seat)
            member.part = attempt
        self._send(UnitStarted(attempt.lead, order.token))

    def on_ended(self, member: Member, end: End | Unseen) -> None:
        """Handle the end of a worker's part, of the attempt that it holds or of an earlier one."""
        part, member.part, member.running, member.deadline = member.part, None, None, inf
        if part is None or member.attempt is not part:
            self.go_on(member)
        elif isinstance(end, Unseen):
            part.unseen[member.name] = end.path
            self._finish(part, self._not_shared(part))
        else:
            part.ends[member.name] = end
            self._settle(part)

    def _settle(self, attempt: Attempt) -> None:
        """End an attempt that succeeded, or that all workers have ended; hurry one that failed."""
        success = attempt.ends.get(attempt.lead)
        if isinstance(success, UnitSucceeded):
            self._finish(attempt, replace(success, transfers=attempt.transfers))
        elif not any(member.part is attempt for member in self._of(attempt)):
            self._finish(attempt, attempt.outcome())
        elif not all(isinstance(end, UnitSucceeded) for end in attempt.ends.values()):
            self._stop_parts(attempt)

    def _finish(self, attempt: Attempt, end: End) -> None:
        """Report how an attempt ended, and free its workers."""
        self._send(end)
        self.release(attempt)

    def release(self, attempt: Attempt) -> None:
        """Free the workers of an attempt that is over."""
        _remove_mark(attempt)
        self._stop_parts(attempt)
        for member in self._of(attempt):
            member.attempt = member.last_progress = None
            if attempt.is_shared and isinstance(attempt.ends.get(member.name), UnitFailed):
                self._restart_gpu(member)

    def _restart_gpu(self, member: Member) -> None:
        """Restart a worker whose group broke on a GPU: what it had started there may still run."""
        if member.kind == "gpu":
            self._restart(member)

    def _stop_parts(self, attempt: Attempt) -> None:
        """Ask the workers that still run an attempt to stop, and give them a deadline."""
        for member in self._of(attempt):
            if member.part is attempt and member.deadline == inf:
                control(member.actor.cancel).remote(attempt.order.token)
                member.deadline = time.monotonic() + _END_SECONDS

    def on_restarted(self, member: Member, part: Attempt | None) -> None:
        """Go on without the answer of a worker that was restarted. part: what it was working on."""
        if part is not None and member.attempt is part:
            self._settle(part)

    def _not_shared(self, attempt: Attempt) -> UnitFailed:
        """Return the failure of an attempt of which some workers do not see a file."""
        is_finisher = self._members[attempt.lead].kind == "finish"
        able = [m for m in self._members.values() if (m.kind == "finish") is is_finisher]
        nodes = {m.name: m.slot.node_name for m in able}
        for worker, path in attempt.unseen.items():
            is_mark = attempt.mark is not None and path == str(attempt.mark)
            shown = str(Path(path).parent) if is_mark else path
            failure = self._unseen.failure(shown, worker, nodes, len(attempt.workers))
        return UnitFailed(attempt.lead, attempt.order.token, failure)


def _remove_mark(attempt: Attempt) -> None:
    if attempt.mark is not None:
        with suppress(OSError):
            remove_file(attempt.mark)
