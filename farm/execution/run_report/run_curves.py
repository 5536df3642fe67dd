"""Draws the curves of a run: losses, the other figures of each step, and those of checkpoints."""

import logging
import re
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import numpy as np

from farm.execution.run_report.series import Points, Series

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

_INK: Final = "#010101"
"""Colour of texts and axes: black in a picture, that of the text around it in a page."""

_DECADES: Final = 100
"""Values whose largest is more than this many times the smallest get a logarithmic scale."""

_PANEL_INCHES: Final = (9.0, 3.2)

_NAMED: Final = 20
"""Most curves in a panel: beyond that, their colours and styles would repeat."""

_NAMES_PER_ROW: Final = 4
"""Names of the legend, which is above its panel: it is seen on a narrow screen, too."""

_STYLE: Final[dict[Any, Any]] = {
    "text.parse_math": False,  # names are plain texts
    "svg.fonttype": "none",
    "svg.hashsalt": "farm",
    "font.size": 10,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
}


@dataclass(frozen=True)
class Panel:
    """Curves that share their axes. is_sparse: they have values at checkpoints only."""

    title: str
    curves: Mapping[str, Points]
    is_sparse: bool = False


def arrange(series: Mapping[str, Series], losses: Collection[str], steps: int) -> list[Panel]:
    """Return the panels of a run. losses: their names. steps: number of steps so far."""
    curves = {name: one.points() for name, one in series.items()}
    sparse = {name for name, one in series.items() if 2 * one.count <= steps}
    groups = {
        "Losses": [name for name in curves if name in losses],
        "Other figures of each step": [n for n in curves if n not in losses and n not in sparse],
        "At checkpoints": [name for name in curves if name not in losses and name in sparse],
    }
    return [
        Panel(title, {name: curves[name] for name in names[:_NAMED]}, title == "At checkpoints")
        for title, names in groups.items()
        if any(len(curves[name].steps) for name in names)
    ]


def draw(panels: list[Panel], png: BinaryIO) -> str:
    """Write the panels as a PNG with a white ground, and return them as an SVG without one."""
    from matplotlib import rc_context

    with _quiet(), rc_context(_STYLE):
        figure = _figure(panels)
        figure.draw_without_rendering()
        figure.set_layout_engine("none")  # one layout for both
        figure.savefig(png, format="png", dpi=110)
        svg = StringIO()
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        figure.savefig(svg, format="svg", transparent=True, metadata=nothing)
    return _inline(svg.getvalue())


def _inline(svg: str) -> str:
    """Return an SVG for use inside a page: scaled to its width, in the colour of its text."""
    element = svg[svg.index("<svg") :].replace(_INK, "currentColor")
    return re.sub(r' (width|height)="[^"]*pt"', "", element, count=2)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what matplotlib remarks about fonts and letters from the user, who cannot act on it."""
    logging.getLogger("matplotlib").addHandler(logging.NullHandler())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _figure(panels: list[Panel]) -> "Figure":
    from matplotlib.figure import Figure

    width, height = _PANEL_INCHES
    count = max(1, len(panels))
    figure = Figure((width, height * count), layout="constrained")
    grid = figure.subplots(count, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(grid, panels, strict=False):
        _draw_panel(axes, panel)
    grid[-1].set_xlabel("step")
    return figure


def _draw_panel(axes: "Axes", panel: Panel) -> None:
    lines = [
        _draw_curve(axes, points, number, is_sparse=panel.is_sparse)
        for number, points in enumerate(panel.curves.values())
    ]
    if _spans_decades(panel.curves.values()):
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter("{x:g}")  # its own labels need mathematical text
        axes.yaxis.set_minor_formatter("")
    axes.grid(alpha=0.25)
    axes.margins(x=0.02)
    names = [_shown(name) for name in panel.curves]
    legend = axes.legend(
        lines,
        names,
        title=panel.title,
        loc="lower left",
        bbox_to_anchor=(0.0, 1.0),
        ncols=_NAMES_PER_ROW,
        alignment="left",
        frameon=False,
    )
    legend.get_title().set_fontweight("bold")


def _draw_curve(axes: "Axes", points: Points, number: int, *, is_sparse: bool) -> "Line2D":
    """Draw a curve and return the line that stands for it in the legend."""
    colour, style = f"C{number % 10}", "-" if number < 10 else "--"
    if is_sparse:
        return axes.plot(points.steps, points.values, style, color=colour, marker="o", ms=4)[0]
    axes.fill_between(points.steps, points.lows, points.highs, color=colour, alpha=0.15, lw=0)
    axes.plot(points.steps, points.values, style, color=colour, alpha=0.3, lw=0.8)
    return axes.plot(points.steps, points.smoothed(), style, color=colour, lw=1.8)[0]


def _spans_decades(curves: Collection[Points]) -> bool:
    """Return whether all values are positive, and the curves need a logarithmic scale."""
    drawn = [one for one in curves if len(one.values)]
    if min(one.lows.min() for one in drawn) <= 0:
        return False
    smoothed = np.concatenate([one.smoothed() for one in drawn])
    return bool(smoothed.max() > _DECADES * smoothed.min())


def _shown(name: str) -> str:
    """Return a name for the legend, which leaves out names that start with an underscore."""
    shortened = name if len(name) <= 32 else f"{name[:31]}…"
    return f" {shortened}" if shortened.startswith("_") else shortened
