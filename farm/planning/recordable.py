"""Refuses names that cannot be recorded: a name on disk may be any bytes, a record is UTF-8."""

from collections.abc import Iterable
from itertools import chain

from farm.errors import BadInput
from farm.model.job import JobSpec
from farm.model.texts import texts_in
from farm.model.unit import Unit
from farm.storage import NOT_UTF8, is_utf8, shown

__all__ = ["check_names"]


def check_names(spec: JobSpec, units: Iterable[Unit]) -> None:
    """Raise BadInput for the first name in a job that is not UTF-8."""
    files = (text for unit in units for text in (unit.source, unit.target))
    for text in chain(texts_in(spec.params), files):
        if not is_utf8(text):
            raise BadInput(shown(text), NOT_UTF8)
