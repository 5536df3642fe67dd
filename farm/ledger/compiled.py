"""Statements that are executed so often that SQLAlchemy should translate them only once."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, CursorResult, Dialect, Insert, Update
from sqlalchemy.sql.compiler import SQLCompiler


class CompiledStatement:
    """An insert or update of rows, with parameters of these names."""

    def __init__(self, statement: Insert | Update, *names: str) -> None:
        self._statement, self._names = statement, list(names)
        self._by_dialect: dict[str, tuple[str, list[str] | None]] = {}

    def execute(
        self, connection: Connection, rows: Sequence[Mapping[str, object]]
    ) -> CursorResult[Any]:
        """Execute it once for each row of parameters."""
        name = connection.dialect.name
        if name not in self._by_dialect:
            self._by_dialect[name] = self._compile(connection.dialect)
        text, order = self._by_dialect[name]
        if order is None:
            return connection.exec_driver_sql(text, [dict(row) for row in rows])
        return connection.exec_driver_sql(text, [tuple(row[n] for n in order) for row in rows])

    def _compile(self, dialect: Dialect) -> tuple[str, list[str] | None]:
        """Return the text for a driver, and the order of its parameters if they have no names."""
        compiled = self._statement.compile(dialect=dialect, column_keys=self._names)
        assert isinstance(compiled, SQLCompiler)
        return compiled.string, compiled.positiontup
