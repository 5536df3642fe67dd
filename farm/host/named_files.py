"""Finds the files that a task's parameters name, by the markers in the annotations of their fields."""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from pydantic import BaseModel

__all__ = ["NAMES_FILE", "NAMES_MASK", "Marker", "named_files"]


class Marker:
    """Marks a text that is the path of a file."""


NAMES_FILE: Final = Marker()

NAMES_MASK: Final = Marker()
"""Of a picture that must have the shape of the input."""


def named_files(params: BaseModel, marker: Marker = NAMES_FILE) -> Iterator[str]:
    """Yield every marked text in the values of a model, however deeply nested."""
    for name, field in type(params).model_fields.items():
        yield from _marked(
            Annotated[field.annotation, *field.metadata, None], getattr(params, name), marker
        )


def _marked(annotation: Any, value: object, marker: Marker) -> Iterator[str]:
    """Yield the texts in a value that its annotation marks."""
    annotation = getattr(annotation, "__value__", annotation)  # what a type alias stands for
    if get_origin(annotation) is Annotated:
        inner, *metadata = get_args(annotation)
        if marker in metadata and isinstance(value, str):
            yield value
        else:
            yield from _marked(inner, value, marker)
    elif isinstance(value, BaseModel):
        yield from named_files(value, marker)
    elif get_origin(annotation) in {Union, UnionType}:
        kinds = get_args(annotation)
        if not any(get_origin(kind) is Literal and value in get_args(kind) for kind in kinds):
            yield from dict.fromkeys(
                text for kind in kinds for text in _marked(kind, value, marker)
            )
    else:
        yield from _marked_items(get_args(annotation), value, marker)


def _marked_items(kinds: tuple[Any, ...], value: object, marker: Marker) -> Iterator[str]:
    """Yield the marked texts in a collection. kinds: the annotations of its items."""
    if not kinds:
        return
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _marked(kinds[0], key, marker)
            yield from _marked(kinds[-1], item, marker)
    elif isinstance(value, tuple) and len(kinds) == len(value) and kinds[-1] is not Ellipsis:
        for kind, item in zip(kinds, value, strict=True):
            yield from _marked(kind, item, marker)
    elif isinstance(value, tuple | list | AbstractSet):
        for item in value:
            yield from _marked(kinds[0], item, marker)
