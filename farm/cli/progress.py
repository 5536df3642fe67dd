"""Shows how far a command has come: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from farm.cli.streams import echo

__all__ = ["Report", "progress"]

Report = Callable[[int, int], None]
"""Takes how much is done, and of how much in all."""

_QUIET_SECONDS: Final = 30.0
"""Time between lines where there is no terminal."""


@contextmanager
def progress(what: str) -> Iterator[Report]:
    """Yield a function that shows how much is done. what: is counted, such as pictures."""
    if not sys.stderr.isatty():
        yield _lines(what)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    columns = (BarColumn(bar_width=None), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(what, *columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, count: bar.update(task, completed=done, total=count)


def _lines(what: str, clock: Callable[[], float] = time.monotonic) -> Report:
    last = clock()

    def report(done: int, count: int) -> None:
        nonlocal last
        if clock() - last >= _QUIET_SECONDS:
            last = clock()
            echo(f"{done} of {count} {what}", err=True)

    return report
