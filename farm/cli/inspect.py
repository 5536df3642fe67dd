"""Commands that only look: plugins, networks, and the record inside a picture."""

from collections.abc import Iterator, Mapping
from typing import Any

import click

from farm.cli.root import registry_of
from farm.cli.table import show_json, show_table
from farm.errors import BadInput

AS_JSON = click.option("--json", "is_json", is_flag=True, help="Print JSON.")


@click.command()
@AS_JSON
@click.pass_context
def plugins(context: click.Context, *, is_json: bool) -> None:
    """List the plugins: where they come from, what they offer, what is wrong with them."""
    found = registry_of(context).plugins
    columns = ("name", "version", "source", "tasks", "state", "reason")
    if is_json:
        show_json([{key: getattr(p, key) for key in (*columns, "traceback")} for p in found])
    else:
        show_table(({key: getattr(p, key) for key in columns} for p in found), columns)


@click.command()
@click.argument("name", required=False)
@AS_JSON
@click.pass_context
def networks(context: click.Context, name: str | None, *, is_json: bool) -> None:
    """List the networks, or the layers of the network NAME with stride and reach."""
    from farm.engine import catalogue

    registry = registry_of(context)
    rows = catalogue.layers(registry.network(name)) if name else catalogue.rows(registry.networks)
    if is_json:
        show_json(rows)
    else:
        show_table(rows, tuple(rows[0]) if rows else ())


@click.command()
@click.argument("file")
@AS_JSON
def show(file: str, *, is_json: bool) -> None:
    """Show how FILE was made: task, parameters, seed, network and weights."""
    from farm.media import is_film, read_record
    from farm.media.film import read_film_record

    record = read_film_record(file) if is_film(file) else read_record(file)
    if record is None:
        raise BadInput(file, "carries no record; the farm did not write it, or it was edited")
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
