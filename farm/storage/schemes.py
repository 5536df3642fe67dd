"""The schemes of this process, by name. Each is made when the first URL names it."""

from collections.abc import Callable, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Final

from farm.errors import BadInput, UserError
from farm.storage.scheme import Scheme, SchemeFactory
from farm.storage.urls import scheme_name, shown, url_fault

__all__ = ["BUILT_IN", "add_schemes", "known_schemes", "scheme_of"]


def _make_s3() -> Scheme:
    from farm.storage.s3 import S3

    return S3()


BUILT_IN: Final[Mapping[str, SchemeFactory]] = MappingProxyType({"s3": _make_s3})
_factories: Final[dict[str, SchemeFactory]] = dict(BUILT_IN)
_made: Final[dict[str, Scheme]] = {}
_making: Final = Lock()


def add_schemes(factories: Mapping[str, SchemeFactory]) -> None:
    """Let URLs with these schemes be read and written in this process."""
    with _making:
        for name, factory in factories.items():
            if _factories.get(name) is not factory:
                _factories[name] = factory
                _made.pop(name, None)


def known_schemes() -> tuple[str, ...]:
    """Return the names of all schemes."""
    return tuple(sorted(_factories))


def scheme_of(url: str, error: Callable[[str, str], UserError] = BadInput) -> Scheme:
    """Return the scheme of a URL. Raises the error, BadInput or BadOutput, if the URL is invalid."""
    name = scheme_name(url)
    if name not in _factories:
        known = ", ".join(f"{known}://" for known in known_schemes())
        allowed = f"a local path, or a URL with {known}"
        raise error(shown(url), f"{name}:// URLs are not supported; give {allowed}")
    if fault := url_fault(url):
        raise error(shown(url), fault)
    with _making:
        if name not in _made:
            _made[name] = _factories[name]()
    scheme = _made[name]
    if fault := scheme.fault(url):
        raise error(url, fault)
    return scheme
