"""Follows the log of a run: keeps its losses as a table, thinned curves, and warnings."""

import csv
import json
from collections.abc import Iterator, Mapping
from io import TextIOWrapper
from pathlib import Path
from shutil import copyfileobj
from typing import Any, BinaryIO, Final

from farm.engine.training.runs import LOG
from farm.execution.run_report.series import Series
from farm.execution.run_report.warning_spans import WarningSpans
from farm.storage import open_whole

TABLE: Final = "losses.csv"
"""One row per step: its number, losses and figures, as in the log."""

_STEP: Final = "step"
_WARNING: Final = "warning"
_WORDS: Final = frozenset({_WARNING, "decision"})
"""What is no figure."""


class RunHistory:
    """What the log of a run contains so far; the log of a long run is read only once.

    series: by the name of the loss or figure. steps: lines of the log.
    """

    def __init__(self, folder: Path) -> None:
        self._log, self._table = folder / LOG, folder / TABLE
        self._forget()

    def _forget(self) -> None:
        self.series: dict[str, Series] = {}
        self.warnings = WarningSpans()
        self.steps = 0
        self._last, self._read, self._written = 0, 0, -1

    def notice(self, step: int) -> None:
        """Forget what was read, if the run has gone back to a step before the last one that was."""
        if step < self._last:
            self._forget()

    def follow(self, step: int) -> None:
        """Read on up to a step, and bring the table up to date.

        Raises StorageFailed and BadOutput.
        """
        self.notice(step)
        begin, columns = self._read, len(self.series)
        for line in self._lines(begin):
            self._take(line)
        self._last = step
        if len(self.series) > columns or not self._is_table_as_written():
            begin = 0
        self._write_table(begin)

    def _take(self, line: Mapping[str, Any]) -> None:
        step = line[_STEP]
        self.steps += 1
        self.warnings.take(step, line.get(_WARNING))
        for name, value in line.items():
            if name != _STEP and name not in _WORDS:
                self.series.setdefault(name, Series()).add(step, value)

    def _lines(self, begin: int) -> Iterator[dict[str, Any]]:
        """Yield the whole lines of the log from a position on."""
        if not self._log.is_file():
            return
        with self._log.open("rb") as log:
            log.seek(begin)
            for line in log:
                if not line.endswith(b"\n"):
                    return
                self._read = max(self._read, begin := begin + len(line))
                yield json.loads(line)

    def _is_table_as_written(self) -> bool:
        return self._table.is_file() and self._table.stat().st_size == self._written

    def _write_table(self, begin: int) -> None:
        """Write the table. begin: position in the log of the first row that is not in it yet."""
        with open_whole(self._table) as file:
            if begin:
                with self._table.open("rb") as before:
                    copyfileobj(before, file)
            self._write_rows(file, begin)
            self._written = file.tell()

    def _write_rows(self, file: BinaryIO, begin: int) -> None:
        text = TextIOWrapper(file, "utf-8", newline="", write_through=True)
        rows = csv.DictWriter(
            text, (_STEP, *self.series), extrasaction="ignore", lineterminator="\n"
        )
        if not begin:
            rows.writeheader()
        rows.writerows(self._lines(begin))
        text.detach()
