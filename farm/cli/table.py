"""Print rows as a table, as tab-separated lines or as JSON."""

import json
from collections.abc import Iterable, Mapping, Sequence

from farm.cli.streams import check_results, results, write
from farm.cli.text import plain


def show_json(value: object) -> None:
    """Print a JSON document; values that JSON does not support become text."""
    write(json.dumps(value, indent=2, default=str))


def show_table(rows: Iterable[Mapping[str, object]], columns: Sequence[str]) -> None:
    """Print a table to a terminal, or tab-separated lines with a heading to a pipe."""
    lines = [[_cell(row.get(column)) for column in columns] for row in rows]
    if not results().isatty():
        for line in ([*columns], *lines):
            write("\t".join(line))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=box.SIMPLE_HEAD)
    for line in lines:
        table.add_row(*map(Text, line))
    Console(file=results()).print(table)
    check_results()


def _cell(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, list | tuple):
        return ", ".join(map(_cell, value))
    return plain(" ".join(str(value).split()))
