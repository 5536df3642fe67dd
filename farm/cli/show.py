"""``farm show FILE`` or ``RUN``: how it was made, and the command that makes it again or goes on."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from farm import storage
from farm.cli.command_line import command_line
from farm.cli.location import Location
from farm.cli.recorded import record_of, recorded_spec
from farm.cli.repeated import Command
from farm.cli.root import registry_of
from farm.cli.table import show_json, show_table
from farm.host.registry import Registry


@click.command(cls=Command)
@click.argument("file", metavar="FILE|RUN", type=Location())
@click.option("--json", "is_json", is_flag=True, help="Print JSON.")
@click.pass_context
def show(context: click.Context, file: str, *, is_json: bool) -> None:
    """Show how FILE was rendered, and the command that renders it again.

    Of the folder of a RUN, show what it trains, how far it is, and the command that continues it.
    """
    if storage.is_folder(file):
        from farm.cli.run_facts import run_facts, run_in_words

        found = (run_facts if is_json else run_in_words)(file, registry_of(context))
    else:
        record = record_of(file)
        found = dict(_facts(file, record, registry_of(context))) | record
    if is_json:
        show_json(found)
    else:
        show_table(_flat(found), ("field", "value"))


def _facts(file: str, record: Mapping[str, Any], registry: Registry) -> Iterator[tuple[str, Any]]:
    """Yield what the record does not say by itself."""
    from farm.media import is_film

    task = registry.tasks.get(record.get("task", ""))
    if task and (spec := recorded_spec(task, record, file)):
        alone = ("--threads=1",) if spec.plan.threads == 1 else ()  # not what a command defaults to
        yield "command", command_line(task, spec, more=alone)
    if not storage.is_remote(file):
        modified = storage.input_path(file).stat().st_mtime
        yield "written", f"{datetime.fromtimestamp(modified).astimezone():%Y-%m-%d %H:%M:%S %z}"
    if is_film(file):
        from farm.media.film import film_facts

        facts = film_facts(file)
        yield "size", f"{facts.width}x{facts.height}"
        yield "frames", facts.frames
        yield "rate", f"{float(facts.rate):.6g}"


def _flat(record: Mapping[str, Any], prefix: str = "") -> Iterator[dict[str, object]]:
    """Yield a row for each value of a record that is not blank."""
    for name, value in record.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name}.")
        elif value not in (None, "", [], ()):
            yield {"field": prefix + name, "value": value}
