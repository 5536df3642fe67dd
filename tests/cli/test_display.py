"""LineDisplay reports the progress of a frame that takes long."""

import pytest

from farm.cli.display import QUIET_SECONDS, LineDisplay
from farm.cli.tally import Tally
from farm.model.events import Progressed
from farm.model.messages import UnitProgress
from farm.model.unit import Unit

UNIT = Unit("job", "train", "", "run/generator.safetensors")


def progressed(done: float, note: str) -> Progressed:
    return Progressed(UNIT, UnitProgress("local-1", "token", done, note))


def test_progress_is_printed_after_a_while_without_a_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = 0.0
    display = LineDisplay(Tally(), lambda: now)
    for seconds, note in ((QUIET_SECONDS - 1, "early"), (QUIET_SECONDS, "step 3"), (1, "again")):
        now += seconds
        display.on_event(progressed(0.25, note))
    assert capsys.readouterr().err == "train 25%  step 3\n"
