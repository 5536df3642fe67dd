"""The texts in a value, however deep."""

from collections.abc import Iterator, Mapping

__all__ = ["texts_in"]


def texts_in(value: object) -> Iterator[str]:
    """Yield every text in a value of JSON or in collections of such values, keys of mappings too."""
    match value:
        case str():
            yield value
        case Mapping():
            yield from texts_in([*value.items()])
        case list() | tuple() | set() | frozenset():
            for item in value:
                yield from texts_in(item)
