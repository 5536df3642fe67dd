"""Finds the files that a task's parameters name, by the marker in the annotations of their fields."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

__all__ = ["NAMES_FILE", "named_files"]


class _NamesFile:
    """Marks a text that is the path of a file."""


NAMES_FILE: Final = _NamesFile()


def named_files(params: BaseModel) -> Iterator[str]:
    """Yield every marked text in the values of a model, however deeply nested."""
    for name, field in type(params).model_fields.items():
        yield from _marked(
            Annotated[field.annotation, *field.metadata, None], getattr(params, name)
        )


def _marked(annotation: Any, value: object) -> Iterator[str]:
    """Yield the texts in a value that its annotation marks."""
    annotation = getattr(annotation, "__value__", annotation)  # what a type alias stands for
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        if NAMES_FILE in metadata and isinstance(value, str):
            yield value
        else:
            yield from _marked(inner, value)
    elif isinstance(value, BaseModel):
        yield from named_files(value)
    elif get_origin(annotation) in {Union, UnionType}:
        kinds = get_args(annotation)
        if not any(get_origin(kind) is Literal and value in get_args(kind) for kind in kinds):
            yield from dict.fromkeys(text for kind in kinds for text in _marked(kind, value))
    else:
        yield from _marked_items(get_args(annotation), value)


def _marked_items(kinds: tuple[Any, ...], value: object) -> Iterator[str]:
    """Yield the marked texts in a collection. kinds: the annotations of its items."""
    if not kinds:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _marked(kinds[0], key)
            yield from _marked(kinds[-1], item)
    elif isinstance(value, tuple) and len(kinds) == len(value) and kinds[-1] is not Ellipsis:
        for kind, item in zip(kinds, value, strict=True):
            yield from _marked(kind, item)
    elif isinstance(value, tuple | list | AbstractSet):
        for item in value:
            yield from _marked(kinds[0], item)
