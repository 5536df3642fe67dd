"""``farm flicker``: measure how much a rendered film flickers, compared with its source."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from farm.cli.streams import echo
from farm.cli.table import show_json

if TYPE_CHECKING:
    from farm.media.flicker import Flicker

_NEGLIGIBLE: Final = 1e-4
"""Flicker, 0..1, below which the source counts as steady: a ratio to noise has no meaning."""


@click.command()
@click.argument("source")
@click.argument("rendered")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def flicker(source: str, rendered: str, *, is_json: bool) -> None:
    """Measure how much the film RENDERED flickers, compared with SOURCE.

    RENDERED may be of all frames of SOURCE or of a range of them, as with --frames.
    """
    from farm.media.flicker import measure_flicker

    measured = measure_flicker(source, rendered)
    if is_json:
        ratio = measured.rendered / measured.source if measured.source else None
        show_json(asdict(measured) | {"ratio": ratio})
    else:
        echo(describe_flicker(measured))


def describe_flicker(flicker: "Flicker") -> str:
    """Return one line on how much a film flickers."""
    comparison = "the source is steady"
    if flicker.source > _NEGLIGIBLE:
        comparison = f"{flicker.rendered / flicker.source:.2f} times that of the source"
    pairs = f"{flicker.pairs} {'pair' if flicker.pairs == 1 else 'pairs'} of frames compared"
    return f"flicker {255 * flicker.rendered:.2f} of 255, {comparison} ({pairs})"
