"""Read-only commands: plugins, networks, and the record in a rendered file."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from farm.cli.root import registry_of, shows_traceback
from farm.cli.streams import echo_traceback
from farm.cli.table import show_json, show_table
from farm.errors import BadInput, BadParameter

AS_JSON = click.option("--json", "is_json", is_flag=True, help="Print JSON.")


@click.command()
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


@click.command()
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


@click.command()
@click.argument("file")
@AS_JSON
def show(file: str, *, is_json: bool) -> None:
    """Show how FILE was rendered: task, parameters, seed, network and weights."""
    from farm.media import is_film, read_record
    from farm.media.film import read_film_record

    record = read_film_record(file) if is_film(file) else read_record(file)
    if record is None:
        raise BadInput(file, "has no record; the farm did not write it, or it was edited since")
    if is_json:
        show_json(record)
    else:
        show_table(_flat(record), ("field", "value"))


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[dict[str, object]]:
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield {"field": prefix + name, "value": value}
