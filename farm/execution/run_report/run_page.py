"""Writes the page of a run: one file that needs no other, for any browser."""

from base64 import b64encode
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from farm.errors import BadInput
from farm.execution.run_report.run_history import TABLE, RunHistory
from farm.execution.run_report.transition import SUFFIXES, pictures_of
from farm.storage import open_whole

if TYPE_CHECKING:
    from jinja2 import Template

    from farm.engine.training.checkpoint import TrainState
    from farm.engine.training.contract import TrainingOptions
    from farm.engine.training.runs import RunFacts
    from farm.model.messages import TrainingFigures

_SHOWN_DECISIONS: Final = 50


@dataclass(frozen=True)
class _Shown:
    """A picture of the latest checkpoint. films: links to the films of it."""

    name: str
    data: str
    films: Mapping[str, str]


@dataclass(frozen=True)
class _Speed:
    """Averages over the latest steps. stages: seconds of a step and its share, by name."""

    steps: float
    pictures: float
    seconds_left: float
    stages: Mapping[str, tuple[float, float]]


def write_page(  # noqa: PLR0917 - the parts of the page
    path: Path,
    options: "TrainingOptions",
    state: "TrainState",
    history: RunHistory,
    recent: "Collection[TrainingFigures]",
    curves: str,
    *,
    is_stopped: bool = False,
) -> None:
    """Write the page. recent: the latest steps. curves: as an SVG element.

    is_stopped: the run was asked to stop, and can be resumed.
    """
    from markupsafe import Markup

    from farm.engine.training.runs import SKIPPED, skipped_pictures

    facts = _facts(options.folder)
    content = _template().render(
        name=options.folder.absolute().name,
        task=facts.task if facts else "",
        seed=facts.seed if facts else None,
        options=options,
        state=state,
        is_running=state.step < options.steps and not is_stopped,
        is_stopped=is_stopped,
        written=datetime.now().astimezone(),
        speed=_speed(recent, options, state.step),
        losses=list(recent)[-1].losses if recent else {},
        pictures=list(_pictures(options.folder)),
        curves=Markup(curves),  # noqa: S704 - matplotlib escapes what it draws
        decisions=_decisions(state),
        warnings=list(history.warnings)[::-1],
        skipped=len(skipped_pictures(options.folder)),
        list_of_skipped=SKIPPED,
        table=TABLE,
    )
    with open_whole(path) as file:
        file.write(content.encode("utf-8", "replace"))


@cache
def _template() -> "Template":
    from jinja2 import Environment, StrictUndefined

    from farm.engine.training.speed import duration, per_second

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"duration": duration, "per_second": per_second}
    return environment.from_string(files(__package__).joinpath("run_page.html").read_text("utf-8"))


def _facts(folder: Path) -> "RunFacts | None":
    from farm.engine.training.runs import read_run

    try:
        return read_run(folder)
    except BadInput:
        return None


def _speed(
    recent: "Collection[TrainingFigures]", options: "TrainingOptions", step: int
) -> _Speed | None:
    """Return the average speed of the latest steps; None before the first."""
    stages: defaultdict[str, float] = defaultdict(float)
    for figures in recent:
        for stage, seconds in figures.seconds.items():
            stages[stage] += seconds
    total = sum(stages.values())
    if not total:
        return None
    rate = len(recent) / total
    return _Speed(
        rate,
        rate * options.batch,
        (options.steps - step) / rate,
        {
            stage: (stages[stage] / len(recent), stages[stage] / total)
            for stage in sorted(stages, key=stages.__getitem__, reverse=True)
        },
    )


def _pictures(run: Path) -> Iterator[_Shown]:
    """Yield the latest picture of each name."""
    for name, found in pictures_of(run).items():
        films = {
            film.name: quote(film.name)
            for suffix in SUFFIXES
            if (film := run / f"{name}{suffix}").is_file()
        }
        data = b64encode(found[max(found)].read_bytes()).decode()
        yield _Shown(name, f"data:image/png;base64,{data}", films)


def _decisions(state: "TrainState") -> list[Mapping[str, object]]:
    """Return the latest decisions about the rate, the newest first."""
    decisions: list[Mapping[str, object]] = state.memory.get("rate", {}).get("decisions", [])
    return decisions[: -_SHOWN_DECISIONS - 1 : -1]
