"""Progress is shown without flooding a log."""

from collections.abc import Callable

import pytest

from farm.cli import progress


def test_progress_is_a_line_every_half_minute_without_a_terminal(
    capsys: pytest.CaptureFixture[str],
) -> None:
    times = iter([0.0, 10.0, 31.0, 31.0, 40.0])
    clock: Callable[[], float] = lambda: next(times)  # noqa: E731
    report = progress._lines("pictures", clock)
    for done in (1, 2, 3):
        report(done, 9)
    assert capsys.readouterr().err == "2 of 9 pictures\n"
