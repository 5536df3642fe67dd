"""``farm flicker``: how much a film flickers, beside what its source does."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

import click

from farm.cli.table import show_json

if TYPE_CHECKING:
    from farm.media.flicker import Flicker

_STILL: Final = 1e-4
"""A source that flickers less stands still; its noise is no measure."""


@click.command()
@click.argument("source")
@click.argument("rendered")
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
def flicker(source: str, rendered: str, *, is_json: bool) -> None:
    """Measure how much the film RENDERED flickers, made frame for frame from SOURCE."""
    from farm.media.flicker import measure_flicker

    found = measure_flicker(source, rendered)
    if is_json:
        show_json(
            asdict(found) | {"ratio": found.rendered / found.source if found.source else None}
        )
    else:
        click.echo(told(found))


def told(found: "Flicker") -> str:
    """Return the line that says how much a film flickers."""
    own = "its source stands still"
    if found.source > _STILL:
        own = f"{found.rendered / found.source:.2f} times the source's own"
    return f"flicker {255 * found.rendered:.2f} of 255, {own} ({found.pairs} pairs of frames)"
