"""The command of a task: turn its options into a job, and run that."""

import inspect
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import click

from farm.cli.job_options import effect_options, run_options
from farm.cli.keyframe_words import with_keyframes_joined
from farm.cli.named_params import preset_option
from farm.cli.options import describe_refusal, options_of, with_values_left_out
from farm.cli.repeated import Command
from farm.cli.root import plugins_dir_of, registry_of, say_what_is_broken, shows_traceback
from farm.cli.running import Running
from farm.cli.starting_point import params_of, with_defaults
from farm.errors import BadParameter, UserError
from farm.host.task import Effect, Run, Task
from farm.host.vetting import validate_params
from farm.model.job import FilmOptions, JobSpec, Plan
from farm.settings import available_cores

COMMAND: Final = "farm.command"
"""Key in a context's meta of the words that run this command, if the user typed others."""

INPUT: Final = (
    "INPUT is a picture, a film, a folder, a glob, numbered pictures such as frame_%05d.png, or "
    "blank:WIDTHxHEIGHT[:#rrggbb] for a plain picture. The suffix of OUTPUT sets its format."
)


class TaskCommand(Command):
    """A command that lists the task's own options before the common ones in its help.

    is_submitted: the job always goes to a farm.
    """

    own: Sequence[click.Option] = ()
    is_submitted = False
    task: type[Task]

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        is_remote = self.is_submitted or "--server" in args
        words = with_values_left_out(self.task, args, is_remote=is_remote)
        if not ctx.resilient_parsing:  # a shell completes what need not be right yet
            words = with_keyframes_joined(self.task, words)
        return super().parse_args(ctx, words)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        common = [param for param in self.get_params(ctx) if param not in self.own]
        for heading, params in (("Options", self.own), ("Running", common)):
            options = (param for param in params if isinstance(param, click.Option))
            rows = [row for option in options if (row := option.get_help_record(ctx))]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)


def task_command(task: type[Task]) -> click.Command:
    """Return the command of a task, with an option for each of its parameters."""
    own = options_of(task.Params)

    @click.pass_context
    def callback(context: click.Context, /, **values: Any) -> int:
        return _run(context, task, values)

    command = TaskCommand(
        task.name,
        callback=callback,
        params=[*common_options(task), *own],
        help=inspect.cleandoc(task.__doc__ or ""),
        epilog=None if issubclass(task, Run) else INPUT,
    )
    command.own, command.task = own, task
    return command


def common_options(task: type[Task]) -> list[click.Parameter]:
    """Return the options of a task's command that are not its own."""
    if issubclass(task, Effect):
        return [*effect_options(), preset_option(task)]
    return run_options()


def _run(context: click.Context, task: type[Task], values: dict[str, Any]) -> int:
    if values["resume"] and values.get("overwrite"):
        raise UserError("--resume and --overwrite exclude each other; leave one of them out")
    if values["dry_run"] and values.get("preview"):
        raise UserError("--dry-run and --preview exclude each other; leave one of them out")
    values = with_defaults(context, values)
    if values["server"]:
        from farm.cli.submit import submit_job

        return submit_job(context, task, values)
    say_what_is_broken(context)
    folder = plugins_dir_of(context)
    running = Running(
        workers=values["workers"],
        address=values["address"],
        is_resumed=values["resume"],
        is_json=values["json"],
        metrics_port=values["metrics_port"],
        live_port=values.get("live"),
        plugins_dir=folder and folder.absolute(),
        shows_traceback=shows_traceback(context),
        command=context.meta.get(COMMAND) or ["farm", *sys.argv[1:]],
    )
    try:
        spec = _spec(task, values, running)
        if values.get("preview"):
            from farm.cli.preview import preview

            return preview(registry_of(context), spec)
        if values["dry_run"]:
            from farm.cli.dry_run import dry_run

            return dry_run(
                registry_of(context),
                spec,
                resume=values["resume"],
                workers=values["workers"] or 1,
                is_json=values["json"],
            )
        from farm.cli.render import render

        return render(registry_of(context), spec, running)
    except BadParameter as error:
        refusal = describe_refusal(task.Params, error)
        raise UserError(f"{refusal}; see `{context.command_path} --help`") from None


def spec_of_words(context: click.Context, name: str, words: Sequence[str]) -> JobSpec:
    """Return the job that the words of a task's command describe. Raises UserError."""
    task = registry_of(context).task(name)
    with task_command(task).make_context(name, [*words], parent=context.find_root()) as command:
        try:
            return _spec(task, with_defaults(command, command.params), Running())
        except BadParameter as error:
            raise UserError(describe_refusal(task.Params, error)) from None


def film_of(values: Mapping[str, Any]) -> FilmOptions:
    """Return how films are rendered. values: of the command's options."""
    return FilmOptions(
        coherence=values["coherence"],
        codec=values["codec"],
        quality=values["quality"],
        depth=int(values["depth"]) if values["depth"] else None,
        rate=values["rate"],
        is_strict=values["strict"],
        is_loop=values["loop"],
    )


def _spec(task: type[Task], values: dict[str, Any], running: Running) -> JobSpec:
    params = validate_params(task, params_of(task, values))
    threads = values["threads"] or (1 if running.is_pooled else available_cores())
    return JobSpec(
        task=task.name,
        params=params.model_dump(mode="json"),
        inputs=values["inputs"],
        output=values["output"],
        frames=values.get("frames"),
        film=FilmOptions() if issubclass(task, Run) else film_of(values),
        plan=Plan(
            tile=values.get("tile", 0),
            seed=values["seed"],
            threads=threads,
            precision=values["precision"],
            size=values.get("size"),
        ),
        priority=values["priority"],
        keeps_going=values["keep_going"],
        overwrite=values.get("overwrite", False),
        workers=running.workers_per_unit,
    )
