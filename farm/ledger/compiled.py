"""Statements that are executed so often that SQLAlchemy should translate them only once."""

from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from sqlalchemy import Connection, CursorResult, Dialect, Insert, Update
from sqlalchemy.sql.compiler import SQLCompiler


class _Text(NamedTuple):
    """A statement as a driver takes it.

    order: names of its parameters, if they have none there. constants: parameters that are the same
    in all rows.
    """

    text: str
    order: list[str] | None
    constants: dict[str, object]


class CompiledStatement:
    """An insert or update of rows, with two or more parameters of these names."""

    def __init__(self, statement: Insert | Update, *names: str) -> None:
        self._statement, self._names = statement, list(names)
        self._by_dialect: dict[str, _Text] = {}

    def execute(
        self, connection: Connection, rows: Sequence[Mapping[str, object]]
    ) -> CursorResult[Any]:
        """Execute it once for each row of parameters."""
        name = connection.dialect.name
        if name not in self._by_dialect:
            self._by_dialect[name] = self._compile(connection.dialect)
        text, order, constants = self._by_dialect[name]
        full = [{**row, **constants} for row in rows] if constants or order is None else rows
        if order is None:
            return connection.exec_driver_sql(text, full)
        return connection.exec_driver_sql(text, [*map(itemgetter(*order), full)])

    def _compile(self, dialect: Dialect) -> _Text:
        compiled = self._statement.compile(dialect=dialect, column_keys=self._names)
        assert isinstance(compiled, SQLCompiler)
        names = compiled.bind_names.items()
        constants = {name: bind.value for bind, name in names if not bind.required}
        return _Text(compiled.string, compiled.positiontup, constants)
