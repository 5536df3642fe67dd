"""``farm sample``: draw pictures, grids and films from a run's checkpoint."""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import click

from farm import storage
from farm.cli.job_options import Whole, frame_rate
from farm.cli.location import Location
from farm.cli.progress import Report, progress
from farm.cli.repeated import Command
from farm.cli.root import registry_of, say_what_is_broken
from farm.cli.streams import echo
from farm.cli.table import show_json
from farm.errors import BadOutput, UserError
from farm.model.rate import DEFAULT_RATE

if TYPE_CHECKING:
    from farm.cli.run_checkpoint import Checkpoint
    from farm.engine.training.sampling import Latents
    from farm.media import Frame
    from farm.model.specs import Sampler

_COUNT: Final = 64
_STOPS: Final = 8
_FRAMES_PER_STOP: Final = 30
_MAX_COUNT: Final = 1_000_000


@click.command(cls=Command)
@click.argument("run", type=Location(), metavar="RUN[@STEP]")
@click.option(
    "-o",
    "--output",
    type=Location(),
    required=True,
    help="A grid (grid.png), single pictures (folder/), or a film that loops (film.mp4, film.gif).",
)
@click.option(
    "--count",
    type=Whole(1, _MAX_COUNT),
    metavar="INTEGER",
    help=f"Pictures to draw; of a film, those it passes through.  [default: {_COUNT}; {_STOPS} "
    "for a film]",
)
@click.option(
    "--seed",
    type=Whole(0, 2**63 - 1),
    default=0,
    show_default=True,
    metavar="INTEGER",
    help="Seed of the pictures; the same seed gives the same ones.",
)
@click.option(
    "--interpolate",
    type=Whole(2, 1000),
    metavar="INTEGER",
    help="Draw rows of this many pictures, each from one picture to another.",
)
@click.option(
    "--frames",
    type=Whole(1, _MAX_COUNT),
    metavar="INTEGER",
    help=f"Frames of a film.  [default: {_FRAMES_PER_STOP} for each picture it passes through]",
)
@click.option(
    "--rate",
    type=frame_rate,
    metavar="NUMBER",
    help=f"Frames per second of a film.  [default: {DEFAULT_RATE}]",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace outputs that exist. Without it, the command is refused.",
)
@click.option("--json", "is_json", is_flag=True, help="Print the record as JSON.")
@click.pass_context
def sample(  # noqa: PLR0917 - the options of the command
    context: click.Context,
    run: str,
    output: str,
    count: int | None,
    seed: int,
    interpolate: int | None,
    frames: int | None,
    rate: Fraction | None,
    *,
    overwrite: bool,
    is_json: bool,
) -> None:
    """Draw pictures from a run, at its newest checkpoint or at the one after STEP."""
    from farm.cli.run_checkpoint import find_one
    from farm.planning.existing import check_free
    from farm.planning.outputs import is_film_target

    is_film = is_film_target(output)
    _check(output, interpolate, frames or rate, is_film=is_film)
    say_what_is_broken(context)
    found = find_one(registry_of(context), run)
    found.check_output(_first_file(output))
    if not overwrite:
        check_free(
            _files(output, _number_drawn(count or _COUNT, interpolate)),
            "add --overwrite to replace it",
        )
    if is_film:
        drawing = _walk(found, count or _STOPS, frames, seed)
        _write_film(output, drawing, rate or DEFAULT_RATE)
    else:
        drawing = _pictures(found, count or _COUNT, interpolate, seed)
        _write_stills(output, drawing, interpolate)
    if is_json:
        show_json({"output": output} | drawing.record)
    else:
        echo(f"{output}: from step {found.step} of {found.run_name}")


def _is_folder(output: str) -> bool:
    return output.endswith("/") or not storage.suffix(output) or storage.is_folder(output)


def _first_file(output: str) -> str:
    return _files(output, 1)[0]


def _files(output: str, count: int) -> list[str]:
    """Return the files to write. count: of pictures."""
    if not _is_folder(output):
        return [output]
    digits = max(4, len(str(count)))
    return [storage.join(output, f"{number:0{digits}}.png") for number in range(1, count + 1)]


@dataclass(frozen=True)
class _Drawing:
    """What to draw, and the record of it."""

    sampler: "Sampler"
    latents: "Latents"
    record: dict[str, Any]

    def frames(self, report: Report) -> Iterator["Frame"]:
        """Draw the pictures one by one."""
        from farm.engine.training.sampling import frames
        from farm.media import Frame

        return map(Frame, frames(self.sampler, self.latents, report))


def _check(output: str, interpolate: int | None, film_option: object, *, is_film: bool) -> None:
    """Raise a UserError for an output that cannot be written, or options that do not fit it."""
    from farm.media import is_sequence
    from farm.planning.outputs import check_output

    if is_sequence(output):
        raise BadOutput(
            output, "numbered pictures are not written here; give a folder, such as samples/"
        )
    check_output(output, ())
    if is_film and interpolate:
        raise UserError("--interpolate makes rows of pictures, and a film needs none; leave it out")
    if film_option and not is_film:
        raise UserError("--frames and --rate are for a film; give -o film.mp4, or leave them out")


def _walk(found: "Checkpoint", stops: int, frames: int | None, seed: int) -> _Drawing:
    from farm.engine.training.sampling import walk

    sampler = found.sampler()
    latents = walk(sampler, stops, frames or stops * _FRAMES_PER_STOP, seed)
    return _Drawing(sampler, latents, found.record(seed, frames=len(latents), stops=stops))


def _number_drawn(count: int, interpolate: int | None) -> int:
    """Return how many pictures are drawn: with rows, only whole ones."""
    return max(1, count // interpolate) * interpolate if interpolate else count


def _pictures(found: "Checkpoint", count: int, interpolate: int | None, seed: int) -> _Drawing:
    from farm.engine.training.sampling import interpolation

    sampler = found.sampler()
    if not interpolate:
        latents = sampler.latents(count, seed)
        return _Drawing(sampler, latents, found.record(seed, pictures=count))
    rows = _number_drawn(count, interpolate) // interpolate
    latents = interpolation(sampler, rows, interpolate, seed)
    return _Drawing(sampler, latents, found.record(seed, pictures=len(latents), rows=rows))


def _write_film(output: str, drawing: _Drawing, rate: Fraction) -> None:
    from farm.media.film import write_film

    with progress("frames") as report:
        write_film(output, drawing.frames(report), drawing.record, rate=rate)


def _write_stills(output: str, drawing: _Drawing, columns: int | None) -> None:
    """Write single pictures into a folder, or a grid into a file."""
    from farm.engine.training.sampling import grid
    from farm.media import Frame, write_still

    with progress("pictures") as report:
        if _is_folder(output):
            _write_singly(output, drawing, report)
        else:
            pixels = grid(drawing.sampler, drawing.latents, columns, report)
            write_still(output, Frame(pixels), drawing.record)


def _write_singly(folder: str, drawing: _Drawing, report: Report) -> None:
    from farm.media import write_still

    count = len(drawing.latents)
    paths = _files(folder, count)
    for number, (path, frame) in enumerate(zip(paths, drawing.frames(report), strict=True), 1):
        write_still(path, frame, drawing.record | {"number": number})
    names = (storage.name(entry.url) for entry in storage.entries(folder))
    older = sorted(name for name in names if name.endswith(".png") and _number(name) > count)
    if older:
        echo(
            f"{storage.join(folder)} also contains {len(older)} older pictures, such as {older[0]}",
            err=True,
        )


def _number(name: str) -> int:
    stem = name.removesuffix(".png")
    return int(stem) if stem.isdecimal() else 0
