"""``farm prepare``: turn pictures into a dataset to train on."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from farm.cli.location import Location
from farm.cli.progress import progress
from farm.cli.repeated import Command
from farm.cli.streams import echo
from farm.cli.table import show_json, show_table

_LISTED: Final = 5
"""Groups of near-duplicates that are shown; manifest.json lists all."""

_MAX_SIDE: Final = 8192


def _sides(
    context: click.Context | None, option: click.Parameter | None, text: str
) -> tuple[int, int]:
    """Return the height and width that WIDTHxHEIGHT or one number means."""
    match = re.fullmatch(r"(\d{1,4})(?:x(\d{1,4}))?", text, re.ASCII | re.IGNORECASE)
    width, height = (int(side) for side in (match[1], match[2] or match[1])) if match else (0, 0)
    if not (1 <= width <= _MAX_SIDE and 1 <= height <= _MAX_SIDE):
        allowed = f"give WIDTHxHEIGHT or one number, in pixels from 1 to {_MAX_SIDE}"
        raise click.BadParameter(f"{text!r} is no size; {allowed}", context, option)
    return height, width


@click.command(cls=Command)
@click.argument("sources", type=Location(), nargs=-1, required=True, metavar="SRC...")
@click.option(
    "-o",
    "--output",
    "dataset",
    type=Location(),
    required=True,
    metavar="DATASET",
    help="Folder to write.",
)
@click.option(
    "--size",
    callback=_sides,
    default="256x256",
    show_default=True,
    metavar="WIDTHxHEIGHT",
    help="Size of every picture; one number means a square.",
)
@click.option(
    "--fit",
    type=click.Choice(["squeeze", "crop", "pad"]),
    default="squeeze",
    show_default=True,
    help="Change the aspect ratio, cut from both ends, or add black borders.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["jpeg", "png"]),
    default="jpeg",
    show_default=True,
    help="Format of the pictures.",
)
@click.option(
    "--quality", type=click.IntRange(1, 100), default=95, show_default=True, help="Quality of JPEG."
)
@click.option(
    "--val",
    type=click.FloatRange(0, 1, max_open=True),
    default=0.0,
    show_default=True,
    metavar="SHARE",
    help="Share of each category to hold out, to measure with.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Chooses what is held out.")
@click.option("--json", "is_json", is_flag=True, help="Print the manifest as JSON.")
def prepare(
    *,
    sources: tuple[str, ...],
    dataset: str,
    size: tuple[int, int],
    fit: str,
    format_: str,
    quality: int,
    val: float,
    seed: int,
    is_json: bool,
) -> None:
    """Turn pictures into a dataset to train on: upright, RGB, of one size.

    SRC is a folder of pictures, a folder per category, a zip of either, or a list train.txt or
    val.txt of "PATH LABEL". Transparent pixels become white. Run the same command again to go on
    after an interruption.
    """
    from farm.media.dataset import Options
    from farm.media.dataset import prepare as prepare_dataset

    options = Options(*size, fit, format_, quality, val, seed)
    try:
        with progress("pictures") as report:
            manifest = prepare_dataset(sources, dataset, options, report)
    except KeyboardInterrupt:
        echo("run the same command again to go on", err=True)
        raise
    if is_json:
        show_json(manifest)
    else:
        _show(dataset, manifest)


def _show(dataset: str, manifest: Mapping[str, Any]) -> None:
    """Print what a person wants to know about a dataset."""
    for entry in manifest["unreadable"]:
        echo(f"{entry['source']}: left out: {entry['reason']}", err=True)
    _show_alike(manifest["near_duplicates"])
    if categories := manifest["categories"]:
        show_table(categories, ("number", "name", "train", "val"))
    means = (
        " ".join(f"{value:.1f}" for value in manifest[key]) for key in ("mean_rgb", "mean_bgr")
    )
    echo("mean colour, 0 to 255: RGB {}; BGR {}".format(*means))
    counts, options = manifest["pictures"], manifest["options"]
    echo(
        f"{dataset}: {counts['train']} pictures to train on, {counts['val']} held out; "
        f"{options['width']}x{options['height']} {options['format']}"
    )


def _show_alike(groups: Sequence[Sequence[str]]) -> None:
    for group in groups[:_LISTED]:
        echo(f"these look the same: {', '.join(group)}", err=True)
    if len(groups) > _LISTED:
        echo(f"{len(groups)} such groups; manifest.json lists all of them", err=True)
    if divided := sum(len({name.partition("/")[0] for name in group}) > 1 for group in groups):
        echo(
            f"in {divided} of these groups, some pictures are held out and some are trained on",
            err=True,
        )
