"""What a frame costs a job of very many: counted in calls, so that a busy machine changes nothing."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from PIL import Image
from sqlalchemy import event

from farm.app import make_metrics
from farm.control.controller import Controller
from farm.host.registry import Registry
from farm.ledger import Ledger
from farm.model.job import JobSpec, JobState, Wanted

from ..call_counts import calls_of  # noqa: TID252 - shared between rooms
from ..fakes import FakeExecutor  # noqa: TID252 - shared with the contract suite
from ..workbench import registry_of  # noqa: TID252 - shared between rooms

FEW, MANY = 200, 600

EFFECT = '''
from farm import Effect, hookimpl

class Copy(Effect):
    """Leave the picture as it is."""
    name = "copy"

    def render(self, image, context):
        return image

@hookimpl
def farm_tasks():
    return [Copy]
'''


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry that offers the task copy. None of its plugins asks what became of a frame."""
    return registry_of(EFFECT, tmp_path)


@pytest.fixture
def sources(tmp_path: Path) -> Callable[[int], Path]:
    """Return a folder of so many pictures."""

    def make(count: int) -> Path:
        folder = tmp_path / f"in{count}"
        folder.mkdir()
        Image.new("RGB", (2, 2), "red").save(folder / "000.png")
        for number in range(1, count):
            (folder / f"{number:03d}.png").hardlink_to(folder / "000.png")
        return folder

    return make


class Life:
    """A job of so many frames that is planned and then cancelled. calls, statements: of both."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.statements = {"add": 0, "cancel": 0}
        with closing(Ledger.open(f"sqlite:///{folder.with_suffix('.db')}")) as ledger:
            executor, metrics = FakeExecutor(workers=0), make_metrics(registry)
            controller = Controller(registry, executor, ledger, observers=[metrics])
            spec = JobSpec(task="copy", inputs=(str(folder),), output=f"{folder}-out/")
            doing = "add"

            def count(_connection: object, _cursor: object, text: str, *_: object) -> None:
                self.statements[doing] += "farms" not in text  # signs of life come with time

            event.listen(ledger._engine, "before_cursor_execute", count)
            self.calls = {"add": calls_of(lambda: controller.add(spec))}
            (job,) = ledger.jobs()
            answer = controller.want(job.id, Wanted.CANCEL)
            doing = "cancel"
            self.calls["cancel"] = calls_of(lambda: controller.run(answer.done))
            assert answer.result().wanted is Wanted.CANCEL
            assert controller.job(job.id).state is JobState.CANCELLED
            controller.close()


@pytest.mark.slow
def test_a_frame_more_costs_a_large_job_few_calls_and_no_statement(
    registry: Registry, sources: Callable[[int], Path]
) -> None:
    Life(registry, sources(1))  # what is done once in a process
    few, many = (Life(registry, sources(count)) for count in (FEW, MANY))
    for doing, most in (("add", 300), ("cancel", 27)):
        frame = (many.calls[doing] - few.calls[doing]) / (MANY - FEW)
        assert frame < most, f"{doing}: {frame:.0f} calls for each frame"
    assert many.statements == few.statements
