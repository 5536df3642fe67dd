"""``farm flicker``: measure how much a rendered film flickers, and how strong and fine its changes are."""

from dataclasses import asdict
from statistics import fmean
from typing import TYPE_CHECKING, Final

import click

from farm.cli.location import Location
from farm.cli.repeated import Command
from farm.cli.streams import echo
from farm.cli.table import show_json
from farm.errors import BadInput

if TYPE_CHECKING:
    from farm.media.flicker import Flicker

_STEADY: Final = 1e-3
"""Flicker, 0..1, below which a film counts as steady: a still that was compressed often has as much, and a ratio
to it has no meaning."""


@click.command(cls=Command)
@click.argument("source", type=Location())
@click.argument("rendered", type=Location())
@click.option(
    "--against",
    type=Location(),
    metavar="FILM",
    help="Compare with another rendering of the same frames, such as one without --coherence.",
)
@click.option("--json", "is_json", is_flag=True, help="Print JSON, with the figures of each frame.")
def flicker(source: str, rendered: str, against: str | None, *, is_json: bool) -> None:
    """Measure how much the film RENDERED flickers, compared with SOURCE.

    Strength is the mean change of a pixel from SOURCE; detail, its mean difference from a slightly blurred
    frame. RENDERED may be of all frames of SOURCE or of a range of them, as with --frames.
    """
    from farm.media.flicker import measure_flicker

    measured = measure_flicker(source, rendered)
    other = measure_flicker(source, against) if against else None
    if other and [f.number for f in other.frames] != [f.number for f in measured.frames]:
        raise BadInput(str(against), f"it has other frames than {rendered}; render the same ones")
    if is_json:
        ratio = measured.rendered / measured.source if measured.source else None
        extra = {"against": _figures(other)} if other else {}
        show_json(_figures(measured) | {"ratio": ratio} | extra)
        return
    echo(describe_flicker(measured))
    for name in ("strength", "detail"):
        values = [255 * getattr(frame, name) for frame in measured.frames]
        mean = 255 * getattr(measured, name)
        echo(f"{name} {mean:.2f} of 255, from {min(values):.2f} to {max(values):.2f}")
    if other:
        echo(_describe_ratios(measured, other, str(against)))


def describe_flicker(flicker: "Flicker") -> str:
    """Return one line on how much a film flickers."""
    comparison = "the source is steady"
    if flicker.source > _STEADY:
        comparison = f"{flicker.rendered / flicker.source:.2f} times that of the source"
    pairs = f"{flicker.pairs} {'pair' if flicker.pairs == 1 else 'pairs'} of frames compared"
    return f"flicker {255 * flicker.rendered:.2f} of 255, {comparison} ({pairs})"


def _figures(flicker: "Flicker") -> dict[str, object]:
    means = {
        name: getattr(flicker, name)
        for name in ("rendered", "source", "strength", "detail", "pairs")
    }
    return means | {"frames": [asdict(frame) for frame in flicker.frames]}


def _describe_ratios(flicker: "Flicker", other: "Flicker", name: str) -> str:
    """Return one line on how a film compares with another one, frame by frame."""
    steady = [each.rendered <= _STEADY for each in (flicker, other)]
    parts = [] if steady[1] else [f"flicker {flicker.rendered / other.rendered:.2f}"]
    for figure in ("strength", "detail"):
        ratios = [
            _ratio(getattr(one, figure), getattr(two, figure))
            for one, two in zip(flicker.frames, other.frames, strict=True)
        ]
        parts.append(f"{figure} {fmean(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    which = "both films are" if all(steady) else f"{name} is"
    ending = f"; {which} steady" if steady[1] else ""
    return f"times those of {name}: {', '.join(parts)}{ending}"


def _ratio(one: float, other: float) -> float:
    return one / other if other else float("inf") if one else 1.0
