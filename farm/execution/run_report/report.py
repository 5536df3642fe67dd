"""Follows a run on its first worker, and writes what a person wants to see of it."""

import json
import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, Final

from farm.engine.training.runs import FACTS, PAGE
from farm.errors import StorageFailed
from farm.execution.run_report.run_history import RunHistory
from farm.storage import open_whole

if TYPE_CHECKING:
    from farm.engine.training.checkpoint import TrainState
    from farm.engine.training.contract import Observation, StepRecord, TrainingOptions
    from farm.model.messages import TrainingFigures

CURVES: Final = "curves.png"

_SHARE: Final = 0.05
"""Largest share of the time that goes to reports while the run goes on."""

_RECENT: Final = 200
"""Steps that the speed is averaged over."""

_log = logging.getLogger(__name__)


class RunReport:
    """Writes losses.csv, curves.png and index.html at checkpoints, and the films at the end.

    A checkpoint is left out if the reports of a run of quick steps would slow it down. What cannot
    be drawn is said once and ends no run; a full disk ends it, as it does for checkpoints.
    clock: in seconds.
    """

    def __init__(self, options: "TrainingOptions", clock: Callable[[], float] = monotonic) -> None:
        self._options, self._clock = options, clock
        self._history = RunHistory(options.folder)
        self._recent: deque[TrainingFigures] = deque(maxlen=_RECENT)
        self._next = clock()
        self._is_warned = False

    def on_step(self, record: "StepRecord") -> None:
        """Remember the step for the speed."""
        self._recent.append(record.figures)

    def on_checkpoint(self, state: "TrainState", observation: "Observation") -> None:  # noqa: ARG002 - its pictures are files
        """Bring the report up to date, if one is due."""
        self._history.notice(state.step)
        began = self._clock()
        if began >= self._next:
            with self._only_storage_errors():
                self._write(state)
            ended = self._clock()
            self._next = ended + (ended - began) / _SHARE

    def on_stop(self, state: "TrainState") -> None:
        """Bring the report up to date."""
        with self._only_storage_errors():
            self._write(state, is_stopped=True)

    def on_end(self, state: "TrainState") -> None:
        """Write the films and the last report."""
        from farm.execution.run_report.transition import write_films

        with self._only_storage_errors():
            write_films(self._options, self._record(state))
        with self._only_storage_errors():
            self._write(state)

    def _write(self, state: "TrainState", *, is_stopped: bool = False) -> None:
        history, folder = self._history, self._options.folder
        history.follow(state.step)
        from farm.execution.run_report.run_curves import arrange, draw
        from farm.execution.run_report.run_page import write_page

        losses = self._recent[-1].losses if self._recent else history.series
        panels = arrange(history.series, losses, history.steps)
        with open_whole(folder / CURVES) as file:
            curves = draw(panels, file)
        write_page(
            folder / PAGE,
            self._options,
            state,
            history,
            self._recent,
            curves,
            is_stopped=is_stopped,
        )

    def _record(self, state: "TrainState") -> dict[str, object]:
        """Return the record of a film: what was trained, and for how many steps."""
        path = self._options.folder / FACTS
        facts = json.loads(path.read_bytes()) if path.is_file() else {}
        return {**facts, "steps": state.step}

    @contextmanager
    def _only_storage_errors(self) -> Iterator[None]:
        """Let errors of the storage pass, and say any other once."""
        try:
            yield
        except StorageFailed:
            raise
        except Exception as error:  # noqa: BLE001 - training is worth more than its report
            if not self._is_warned:
                self._is_warned = True
                _log.warning(
                    "the report of the run in %s is incomplete: %s: %s; training goes on, and its "
                    "log and checkpoints are complete",
                    self._options.folder,
                    type(error).__name__,
                    error,
                )
