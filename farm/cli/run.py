"""A task's command: from flags to a job, and from a job to an exit code."""

import inspect
from collections.abc import Sequence
from typing import Any, Final, get_args

import click

from farm.cli.options import options_of, refused_flag, values_of
from farm.cli.root import plugins_dir_of, registry_of
from farm.cli.running import Running
from farm.errors import BadParameter, UserError
from farm.host.task import Run, Task
from farm.host.vetting import validate_params
from farm.model.film import Coherence, Quality
from farm.model.job import AUTO_TILE, FilmOptions, JobSpec, Plan, Precision
from farm.settings import available_cores

INPUT: Final = (
    "INPUT is a picture, a film, a folder, a glob, numbered pictures as frame_%05d.png, or "
    "blank:WIDTHxHEIGHT[:#rrggbb], which draws one. OUTPUT's suffix says what is written."
)
TILES: Final = {"auto": AUTO_TILE, "none": 0}


def tile_side(text: str) -> int:
    """Return the pixels a side that --tile asks for; 0 is the whole picture."""
    if text in TILES:
        return TILES[text]
    if not text.isdecimal() or int(text) == 0:
        raise click.BadParameter(f"{text!r} is not auto, none, or a number of pixels")
    return int(text)


def common_options() -> list[click.Parameter]:
    """Return what every task's command takes besides its own parameters."""
    return [
        click.Argument(["inputs"], nargs=-1, required=True, metavar="INPUT..."),
        click.Option(
            ["--seed"],
            type=click.IntRange(0, 2**63 - 1),
            default=0,
            show_default=True,
            metavar="INTEGER",
            help="Begins every random choice; equal seeds give equal pictures.",
        ),
        click.Option(
            ["--threads"],
            type=click.IntRange(1),
            metavar="INTEGER",
            help="Threads per worker.  [default: 1 on a pool, all cores in process]",
        ),
        click.Option(
            ["--precision"],
            type=click.Choice(get_args(Precision)),
            default="float32",
            show_default=True,
            help="Of pictures and sums; bfloat16 is for GPUs that are fast at it.",
        ),
        click.Option(
            ["--workers"],
            type=click.IntRange(1),
            metavar="INTEGER",
            help="Render on a pool of so many workers.",
        ),
        click.Option(["--address"], help="Render on the Ray cluster at this address."),
        click.Option(["--resume"], is_flag=True, help="Do not redo frames that are finished."),
        click.Option(["--json"], is_flag=True, help="Print one JSON object per event."),
        click.Option(
            ["--metrics-port"],
            type=click.IntRange(1, 65535),
            metavar="PORT",
            help="Serve Prometheus metrics on this port of 127.0.0.1 meanwhile.",
        ),
        click.Option(
            ["--priority"],
            type=click.IntRange(0, 100),
            default=50,
            show_default=True,
            metavar="INTEGER",
            help="Higher is sooner.",
        ),
    ]


def effect_options() -> list[click.Parameter]:
    """Return what every effect's command takes besides: how pictures and films are made."""
    return [
        click.Option(
            ["-o", "--output"],
            required=True,
            help="A picture, a film, numbered pictures as frame_%05d.png, or a folder: it ends "
            "with / or has no suffix.",
        ),
        click.Option(
            ["--tile"],
            type=tile_side,
            default="auto",
            metavar="auto|none|PIXELS",
            help=f"Side of the pieces large pictures are cut into; auto is {AUTO_TILE}.",
        ),
        click.Option(
            ["--live"],
            type=click.IntRange(0, 65535),
            metavar="PORT",
            help="Show frames in a browser as they are made, on this port of 127.0.0.1; 0 takes "
            "a free one.",
        ),
        click.Option(
            ["--frames"],
            metavar="RANGE",
            help="Of a film, counted from 1: 1-240, 1-240x2 for every second one, 240 for the "
            "first 240, 100- for the 100th and all after it.",
        ),
        click.Option(
            ["--coherence"],
            type=click.Choice(get_args(Coherence)),
            default="none",
            show_default=True,
            help="flow begins each frame of a film with the one before, moved along: no flicker.",
        ),
        click.Option(["--codec"], metavar="NAME", help="h264, hevc, av1, vp9, ffv1 (lossless)."),
        click.Option(
            ["--quality"],
            type=click.Choice(get_args(Quality)),
            default="good",
            show_default=True,
            help="Of films.",
        ),
        click.Option(
            ["--depth"],
            type=click.Choice(["8", "10", "16"]),
            help="Bits a colour that are written.  [default: the source's; 8 with h264]",
        ),
        click.Option(
            ["--rate"],
            type=click.FloatRange(0, 1000, min_open=True),
            default=25.0,
            show_default=True,
            metavar="NUMBER",
            help="Frames a second of a film made from pictures.",
        ),
        click.Option(
            ["--strict"],
            is_flag=True,
            help="Make no film where a frame failed, instead of filling the gap.",
        ),
    ]


def run_options() -> list[click.Parameter]:
    """Return what every run's command takes besides."""
    return [click.Option(["-o", "--output"], required=True, help="The folder that the run fills.")]


class TaskCommand(click.Command):
    """A command whose help shows the task's own options before the common ones."""

    own: Sequence[click.Option] = ()

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        common = [param for param in self.get_params(ctx) if param not in self.own]
        for heading, params in (("Options", self.own), ("Running", common)):
            options = (param for param in params if isinstance(param, click.Option))
            rows = [row for option in options if (row := option.get_help_record(ctx))]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def task_command(task: type[Task]) -> click.Command:
    """Return the command of a task, made from its parameters."""
    own = options_of(task.Params)
    is_run = issubclass(task, Run)

    @click.pass_context
    def run(context: click.Context, /, **given: Any) -> int:
        return _run(context, task, given)

    command = TaskCommand(
        task.name,
        callback=run,
        params=[*(run_options() if is_run else effect_options()), *common_options(), *own],
        help=inspect.cleandoc(task.__doc__ or ""),
        epilog=None if is_run else INPUT,
    )
    command.own = own
    return command


def _run(context: click.Context, task: type[Task], given: dict[str, Any]) -> int:
    folder = plugins_dir_of(context)
    running = Running(
        workers=given["workers"],
        address=given["address"],
        is_resumed=given["resume"],
        is_json=given["json"],
        metrics_port=given["metrics_port"],
        live_port=given.get("live"),
        plugins_dir=folder and folder.absolute(),
    )
    try:
        spec = _spec(task, given, running)
        from farm.cli.render import render

        return render(registry_of(context), spec, running)
    except BadParameter as error:
        told = refused_flag(task.Params, error)
        raise UserError(f"{told}; see `{context.command_path} --help`") from None


def _film(given: dict[str, Any]) -> FilmOptions:
    return FilmOptions(
        coherence=given["coherence"],
        codec=given["codec"],
        quality=given["quality"],
        depth=int(given["depth"]) if given["depth"] else None,
        rate=given["rate"],
        is_strict=given["strict"],
    )


def _spec(task: type[Task], given: dict[str, Any], running: Running) -> JobSpec:
    params = validate_params(task, values_of(task.Params, given))
    threads = given["threads"] or (1 if running.is_pooled else available_cores())
    return JobSpec(
        task=task.name,
        params=params.model_dump(mode="json"),
        inputs=given["inputs"],
        output=given["output"],
        frames=given.get("frames"),
        film=FilmOptions() if issubclass(task, Run) else _film(given),
        plan=Plan(
            tile=given.get("tile", 0),
            seed=given["seed"],
            threads=threads,
            precision=given["precision"],
        ),
        priority=given["priority"],
    )
