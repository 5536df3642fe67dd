"""The ``farm`` command line: parse options, call the farm, show the results.

Each command is loaded when it is used and imports what it needs when it runs, so that help and
listings stay fast.
"""

import gc
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from itertools import takewhile
from pathlib import Path
from traceback import format_exception
from typing import Final, NoReturn

import click

from farm.cli.exits import EXPECTED, Exit, exit_code, one_line
from farm.cli.location import Location
from farm.cli.repeated import say_what_is_repeated
from farm.cli.root import registry_of
from farm.cli.signals import signals
from farm.cli.streams import OutputLost, echo, echo_traceback, prepare_streams
from farm.errors import FarmError, UnknownName, UserError
from farm.execution.spinning import spin_briefly

__all__ = ["main"]

COMMANDS: Final = {
    "compare": ("farm.cli.compare", "compare"),
    "demo": ("farm.cli.demo", "demo"),
    "doctor": ("farm.cli.doctor", "doctor"),
    "evaluate": ("farm.cli.evaluate", "evaluate"),
    "flicker": ("farm.cli.flicker", "flicker"),
    "job": ("farm.cli.job_command", "job"),
    "jobs": ("farm.cli.jobs_table", "jobs"),
    "ledger": ("farm.cli.ledger", "ledger"),
    "networks": ("farm.cli.listings", "networks"),
    "new-plugin": ("farm.cli.scaffold", "new_plugin"),
    "plugins": ("farm.cli.listings", "plugins"),
    "prepare": ("farm.cli.prepare", "prepare"),
    "sample": ("farm.cli.sample", "sample"),
    "serve": ("farm.cli.serve", "serve"),
    "show": ("farm.cli.show", "show"),
    "submit": ("farm.cli.submit", "submit"),
    "token": ("farm.cli.token", "token"),
    "workers": ("farm.cli.jobs_table", "workers"),
}
"""Module and attribute of each of the farm's own commands."""


@contextmanager
def _add_context(find: Callable[[], click.Context | None]) -> Iterator[None]:
    """Set the context of a misused option, which click's parser may leave out."""
    try:
        yield
    except click.BadOptionUsage as error:
        error.ctx = error.ctx or find()
        raise


class FarmGroup(click.Group):
    """The farm's own commands, and one for each task of the plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*sorted(registry_of(ctx).tasks), *COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name in COMMANDS:
            module, name = COMMANDS[cmd_name]
            command: click.Command = getattr(import_module(module), name)
            return command
        from farm.cli.task_command import task_command

        return task_command(registry_of(ctx).task(cmd_name))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        with _add_context(lambda: ctx):
            say_what_is_repeated(self, ctx, args)
            return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> object:
        with _add_context(lambda: self._subcommand_context(ctx)):
            return super().invoke(ctx)

    def _subcommand_context(self, ctx: click.Context) -> click.Context | None:
        """Return a context that names the invoked command."""
        name = ctx.invoked_subcommand
        command = self.get_command(ctx, name) if name else None
        return click.Context(command, ctx, name) if command else None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except UnknownName as error:
            known = self.list_commands(ctx)
            raise UnknownName("task or command", error.name, known, error.hint) from None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        tasks = sorted(registry_of(ctx).tasks)
        for heading, names in (("Tasks", tasks), ("Commands", list(COMMANDS))):
            commands = ((name, self.get_command(ctx, name)) for name in names)
            rows = [
                (name, command.get_short_help_str(120)) for name, command in commands if command
            ]
            if rows:
                with formatter.section(heading):
                    formatter.write_dl(rows)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        registry = registry_of(ctx)
        failed = [plugin.name for plugin in registry.plugins if plugin.state == "failed"]
        if failed:
            formatter.write_paragraph()
            formatter.write_text(f"Failed plugins: {', '.join(failed)}; see `{registry.listing}`.")


@click.group(
    cls=FarmGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--plugins-dir",
    type=Location(),
    is_eager=True,
    metavar="FOLDER",
    help="Also load every .py file in this folder as a plugin.",
)
@click.option("--traceback", is_flag=True, help="With each error, show every call that led to it.")
@click.version_option(package_name="neural-render-farm", prog_name="farm")
@click.pass_context
def group(context: click.Context, plugins_dir: str | None, *, traceback: bool) -> None:  # noqa: ARG001 - read in root
    """Render neural effects on pictures and films, on this machine or a cluster."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        return
    try:
        Path.cwd()
    except OSError:
        raise UserError("the current folder is gone; change to one that exists") from None


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with a code from farm.cli.exits."""
    words = sys.argv[1:] if arguments is None else [*arguments]
    prepare_streams(is_json=_wants_json(words))
    signals.handle()
    spin_briefly()
    code: object = Exit.FAILED
    try:
        code = _run(words)
    except OutputLost as lost:
        if str(lost):
            echo(f"farm: cannot write to standard output: {lost}", err=True)
    except EXPECTED as error:
        if "--traceback" in words and isinstance(error, FarmError):
            echo_traceback("".join(format_exception(error)))
        echo(f"farm: {one_line(error)}", err=True)
        code = exit_code(error)
    gc.freeze()  # the last collection would walk everything that torch has imported
    sys.exit(code if isinstance(code, int) else Exit.DONE)


def _run(words: Sequence[str]) -> object:
    """Run the command and return its exit code, if it has one.

    click's own main() would report signals and closed pipes in other words.
    """
    if "_FARM_COMPLETE" in os.environ:
        group.main(prog_name="farm")
    try:
        with group.make_context("farm", [*words]) as context:
            return group.invoke(context)
    except click.exceptions.Exit as end:
        return end.exit_code


def _wants_json(words: Sequence[str]) -> bool:
    """Return whether the command prints JSON for a program, and not help."""
    flags = {*takewhile(lambda word: word != "--", words)}
    return "--json" in flags and not flags & {"--help", "-h", "--version"}
