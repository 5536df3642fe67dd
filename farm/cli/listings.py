"""Read-only commands: plugins and networks."""

import click

from farm.cli.repeated import Command
from farm.cli.root import registry_of, shows_traceback
from farm.cli.streams import echo_traceback
from farm.cli.table import show_json, show_table
from farm.errors import BadParameter

AS_JSON = click.option("--json", "is_json", is_flag=True, help="Print JSON.")


@click.command(cls=Command)
@AS_JSON
@click.pass_context
def plugins(context: click.Context, *, is_json: bool) -> None:
    """List the plugins: source, tasks, state, and why any failed."""
    listed = registry_of(context).plugins
    columns = ("name", "version", "source", "tasks", "state", "reason")
    if is_json:
        show_json([{key: getattr(p, key) for key in (*columns, "traceback")} for p in listed])
    else:
        show_table(({key: getattr(p, key) for key in columns} for p in listed), columns)
        if shows_traceback(context):
            for plugin in listed:
                if plugin.traceback:
                    echo_traceback(f"\nplugin {plugin.name}: {plugin.traceback}")


@click.command(cls=Command)
@click.argument("name", required=False)
@click.option("--classes", "is_classes", is_flag=True, help="List the classes of NAME instead.")
@AS_JSON
@click.pass_context
def networks(context: click.Context, name: str | None, *, is_classes: bool, is_json: bool) -> None:
    """List the networks, or the layers of NAME with their stride and reach."""
    from farm.engine import catalogue

    registry = registry_of(context)
    if name:
        describe = catalogue.classes if is_classes else catalogue.layers
        rows = describe(registry.network(name))
    elif is_classes:
        raise BadParameter("classes", "give a network, as in `farm networks starter --classes`")
    else:
        rows = catalogue.rows(registry.networks)
    if is_json:
        show_json(rows)
    else:
        show_table(rows, tuple(rows[0]) if rows else ())
