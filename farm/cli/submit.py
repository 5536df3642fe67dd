"""``farm submit TASK``: give a job to a farm instead of running it here."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import click

from farm import storage
from farm.cli.exits import Exit
from farm.cli.location import Location
from farm.cli.options import describe_refusal, options_of
from farm.cli.remote import client_of
from farm.cli.root import registry_of
from farm.cli.starting_point import params_of, with_defaults
from farm.cli.streams import echo
from farm.cli.table import show_json
from farm.cli.task_command import INPUT, TaskCommand, common_options, film_of
from farm.errors import BadParameter, UserError
from farm.host.task import Run, Task
from farm.model.sent_files import is_sent

_HERE: Final = ("address", "metrics_port", "live", "preview")
"""Options of a task's command that only count on this machine."""


class _SubmitCommand(TaskCommand):
    """A command whose job always goes to a farm."""

    is_submitted = True

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except click.NoSuchOption as error:
            own = (option for option in common_options(self.task) if option.name in _HERE)
            if not any(error.option_name in option.opts for option in own):
                raise
            raise UserError(
                f"{error.option_name} is only for this machine's own commands, and not for a farm; leave it "
                f"out, or use it here: farm {self.task.name} ... {error.option_name}"
            ) from None


class SubmitGroup(click.Group):
    """A command for each task."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(registry_of(ctx).tasks)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return _submit_command(registry_of(ctx).task(cmd_name))


@click.group(cls=SubmitGroup)
def submit() -> None:
    """Give a job to a farm, and print its id.

    Inputs and output are ROOT/path, below a root of `farm serve`. Files of this machine are uploaded.
    """


def _submit_command(task: type[Task]) -> click.Command:
    """Return the command that submits a task, with the flags of the task's own command."""
    own = options_of(task.Params)

    @click.pass_context
    def callback(context: click.Context, /, **values: Any) -> Exit:
        return submit_job(context, task, with_defaults(context, values))

    common = [option for option in common_options(task) if option.name not in _HERE]
    help_text = f"Submit a job of `farm {task.name}` to a farm, and print its id."
    epilog = None if issubclass(task, Run) else INPUT
    command = _SubmitCommand(
        task.name,
        callback=callback,
        params=[*common, *_options(), *own],
        help=help_text,
        epilog=epilog,
    )
    command.own, command.task = own, task
    return command


def _options() -> list[click.Parameter]:
    return [
        click.Option(["--name"], metavar="TEXT", help="What lists of jobs call it."),
        click.Option(
            ["--submit-once"],
            type=Location("a text that names this submission"),
            metavar="TEXT",
            help="Submit only once: the same text gives the same job, however often it is given.",
        ),
        click.Option(
            ["--after"],
            multiple=True,
            metavar="JOB",
            help="Start after this job has completed, whose files may be the inputs. Give it again for "
            "more jobs.",
        ),
        click.Option(["--wait"], is_flag=True, help="Watch the job until it has ended."),
    ]


def submit_job(context: click.Context, task: type[Task], values: Mapping[str, Any]) -> Exit:
    """Submit a job and print its id. values: of the command's options."""
    for name in _HERE:
        if values.get(name) is not None and values[name] is not False:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"{flag} counts only without --server; leave one of them out")
    is_json = values["json"]
    logging.getLogger("farm.client").addHandler(logging.NullHandler())  # notes are printed below
    with client_of(values["server"]) as client:
        asked = task.name, values["inputs"], values["output"], _request(task, values)
        params = params_of(task, values)
        try:
            if values["dry_run"]:
                return _show_costs(client.estimate(*asked, **params), is_json=is_json)
            job = client.submit(*asked, **params)
        except BadParameter as error:
            refusal = describe_refusal(task.Params, error)
            raise UserError(f"{refusal}; see `{context.command_path} --help`") from None
        renamed = _renamed(values["inputs"], job.status.spec.get("inputs", ()))
        for note in (*job.status.notes, *renamed):
            echo(f"note: {note}", err=True)
        if not values.get("wait"):
            if is_json:
                show_json(job.status.model_dump())
            else:
                echo(job.id)
            return Exit.DONE
        from farm.cli.watch_job import watch_job

        echo(job.id, err=is_json)
        return watch_job(job, is_json=is_json)


def _renamed(given: Sequence[str], stored: Sequence[str]) -> Iterator[str]:
    """Yield a line for each file that was sent and whose result does not have its name, which others have too."""
    sent = {there: here for here, there in zip(given, stored, strict=False) if is_sent(there)}
    if len({storage.name(there).casefold() for there in sent}) == len(sent):
        return
    from farm.planning.inputs import unique_names

    for (there, here), name in zip(sent.items(), unique_names([*sent]), strict=True):
        if not storage.name(there).startswith(name):
            yield f"{here} is rendered as {name}"


def _show_costs(found: Mapping[str, Any], *, is_json: bool) -> Exit:
    from farm.cli.dry_run import amount, costs

    if is_json:
        show_json(found)
        return Exit.DONE
    units = "1 unit" if found["units"] == 1 else f"{found['units']} units"
    echo(f"would do {units}, {amount(found['pixels'])}")
    for line in costs(found):
        echo(line)
    return Exit.DONE


def _request(task: type[Task], values: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a request says besides task, parameters, inputs and output."""
    names = ("tile", "seed", "threads", "precision", "size")
    plan = {name: values[name] for name in names if values.get(name) is not None}
    request = {
        "plan": plan,
        "priority": values["priority"],
        "keeps_going": values["keep_going"],
        "resume": values["resume"],
        "overwrite": values.get("overwrite", False),
        "workers": values["workers"] or 1,
    }
    if not issubclass(task, Run):
        request |= {"frames": values["frames"], "film": film_of(values).model_dump(mode="json")}
    if values.get("after"):
        request["after"] = values["after"]
    if values.get("name"):
        request["name"] = values["name"]
    if values.get("submit_once"):
        request["token"] = values["submit_once"]
    return request
