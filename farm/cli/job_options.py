"""The options that every task's command has in addition to the task's own parameters."""

from fractions import Fraction
from typing import Any, Final, get_args

import click
from pydantic import ValidationError

from farm.cli.location import FARM_URL, RAY_ADDRESS, Location
from farm.host.blame import reworded
from farm.model.film import Quality
from farm.model.job import AUTO_TILE, MOST_URGENT, Plan, Precision
from farm.model.rate import parse_rate

TILES: Final = {"auto": AUTO_TILE, "none": 0}


class Whole(click.IntRange):
    """A whole number in a range, with a refusal in plain words."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter:
            allowed = f"{self.min} or more" if self.max is None else f"{self.min} to {self.max}"
            self.fail(f"'{value}' is not allowed; give a whole number, {allowed}", param, ctx)


def effect_options() -> list[click.Parameter]:
    """Return the options of every effect's command."""
    return [*_output_options(), *_film_options(), *_common_options()]


def run_options() -> list[click.Parameter]:
    """Return the options of every run's command."""
    output = click.Option(
        ["-o", "--output"], type=Location(), required=True, help="Folder for the run's files."
    )
    return [output, *_common_options()]


def tile_side(text: str) -> int:
    """Return the tile side in pixels for a value of --tile; 0 renders the whole picture at once."""
    if text in TILES:
        return TILES[text]
    if not text.isdecimal() or int(text) == 0:
        raise click.BadParameter(f"{text!r} is not auto, none, or a number of pixels")
    return _plan(tile=int(text)).tile


def picture_size(text: str) -> str:
    """Return a value of --size that is a size."""
    return _plan(size=text).size or ""


def _plan(**fields: Any) -> Plan:
    """Return a plan with these fields. Raises BadParameter for a value that is not allowed."""
    try:
        return Plan(**fields)
    except ValidationError as error:
        raise click.BadParameter(reworded(error.errors()[0]["msg"])) from error


def frame_rate(text: str) -> Fraction:
    """Return the exact frame rate for a value of --rate."""
    try:
        return parse_rate(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def _output_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["-o", "--output"],
            type=Location(),
            required=True,
            help="Picture, film, numbered pictures such as frame_%05d.png, or a folder (a name "
            "that ends with / or has no suffix).",
        ),
        click.Option(
            ["--like"],
            type=Location(),
            metavar="FILE",
            help="Start from the parameters, network, seed, size, tile and precision of this finished "
            "picture or film; flags override them.",
        ),
        click.Option(
            ["--overwrite"],
            is_flag=True,
            help="Replace outputs that exist. Without it, or --resume, the job is refused.",
        ),
        click.Option(
            ["--size"],
            type=picture_size,
            metavar="SIZE",
            help="Bring pictures and frames to this size first: 1280x720, 1080p (rows), 50%, or "
            "long=1024 (the longer side). Only WIDTHxHEIGHT changes their proportions.",
        ),
        click.Option(
            ["--preview"],
            is_flag=True,
            help="Render a few frames of each film, and the stills, and show them on one sheet beside the "
            "output, as NAME-preview.png. They are made smaller if they are larger than 480 pixels.",
        ),
        click.Option(
            ["--tile"],
            type=tile_side,
            default="auto",
            metavar="auto|none|PIXELS",
            help=f"Side of the tiles that large pictures are cut into, in pixels; auto is {AUTO_TILE}, "
            "none renders the whole picture at once.",
        ),
        click.Option(
            ["--live"],
            type=Whole(0, 65535),
            metavar="PORT",
            help="Show frames in a browser while they are rendered, on this port of 127.0.0.1; "
            "0 picks a free one.",
        ),
    ]


def _film_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--frames"],
            metavar="RANGE",
            help="Frames of a film to render, counted from 1: 1-240, 1-240x2 for every second "
            "one, 240 for the first 240, 100- for the 100th and all that follow. With a picture as "
            "output, 24 is that frame.",
        ),
        click.Option(
            ["--coherence"],
            type=click.Choice(["none", "flow"]),
            default="none",
            show_default=True,
            help="flow avoids flicker: each frame of a film starts from the previous one, warped "
            "by optical flow.",
        ),
        click.Option(
            ["--codec"],
            metavar="NAME",
            help="Codec of films: h264, hevc, av1, vp9, ffv1 (lossless).",
        ),
        click.Option(
            ["--quality"],
            type=click.Choice(get_args(Quality)),
            default="good",
            show_default=True,
            help="Quality of films.",
        ),
        *_sample_options(),
    ]


def _sample_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--depth"],
            type=click.Choice(["8", "10", "16"]),
            help="Bits per sample of the output.  [default: the source's; 8 with h264]",
        ),
        click.Option(
            ["--rate"],
            type=frame_rate,
            metavar="NUMBER",
            help="Frames per second of a film rendered from pictures, such as 12, 29.97 or "
            "24000/1001.  [default: 25]",
        ),
        click.Option(
            ["--loop"],
            is_flag=True,
            help="Let the film run in circles: frames at its end, up to 24 and at most a quarter, fade into those "
            "at its start. A film becomes as much shorter; an endless effect renders as many more.",
        ),
        click.Option(
            ["--strict"],
            is_flag=True,
            help="Write no film if a frame fails, instead of filling the gap.",
        ),
    ]


def _common_options() -> list[click.Parameter]:
    inputs = click.Argument(
        ["inputs"], type=Location(), nargs=-1, required=True, metavar="INPUT..."
    )
    return [inputs, *_plan_options(), *_execution_options()]


def _plan_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--seed"],
            type=Whole(0, 2**63 - 1),
            default=0,
            show_default=True,
            metavar="INTEGER",
            help="Seed for all random choices; the same seed gives the same pictures.",
        ),
        click.Option(
            ["--threads"],
            type=Whole(1),
            metavar="INTEGER",
            help="Threads per worker.  [default: 1 on a pool, otherwise all cores]",
        ),
        click.Option(
            ["--precision"],
            type=click.Choice(get_args(Precision)),
            default="float32",
            show_default=True,
            help="Number format of pictures and sums; use bfloat16 on GPUs that are fast at it.",
        ),
    ]


def _execution_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["--workers"],
            type=Whole(1),
            metavar="INTEGER",
            help="Use a pool of this many workers, at most 4 threads per core of this machine, or as "
            "many as the cluster has room for. They share a run, and a single large still.",
        ),
        click.Option(
            ["--address"],
            type=Location(RAY_ADDRESS),
            help="Use the Ray cluster at this address.",
        ),
        click.Option(
            ["--server"],
            type=Location(FARM_URL),
            metavar="URL",
            help="Give the job to the farm at this address, as `farm submit` does.",
        ),
        click.Option(
            ["--resume"], is_flag=True, help="Continue an earlier job; skip what it has finished."
        ),
        click.Option(
            ["--dry-run"],
            is_flag=True,
            help="Render nothing; say what would be made, and the time and the disk that it would "
            "take, by what this machine has measured.",
        ),
        click.Option(
            ["--keep-going"],
            is_flag=True,
            help="Render the other frames even if many fail. By default, a job fails when a tenth of "
            "its frames have failed, and at least 20.",
        ),
        click.Option(["--json"], is_flag=True, help="Print one JSON object per event."),
        click.Option(
            ["--metrics-port"],
            type=Whole(1, 65535),
            metavar="PORT",
            help="Serve Prometheus metrics while the job runs, on this port of 127.0.0.1.",
        ),
        click.Option(
            ["--priority"],
            type=Whole(0, MOST_URGENT),
            default=50,
            show_default=True,
            metavar="INTEGER",
            help="Jobs with a higher priority run first.",
        ),
    ]
