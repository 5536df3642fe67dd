"""Locations: local paths, and URLs such as s3://bucket/key, taken apart and put together.

Nothing here looks at what is there. A Path is always local. A URL names a folder with or without a
slash at its end.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, TypeGuard

__all__ = [
    "absolute",
    "as_folder",
    "is_own",
    "is_remote",
    "is_utf8",
    "join",
    "name",
    "parent",
    "parents",
    "scheme_name",
    "shown",
    "suffix",
    "url_fault",
]

_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
_BYTES: Final = re.compile("[\udc80-\udcff]")
"""What Python reads for bytes of a file name that are not UTF-8."""

_CONTROL: Final = re.compile("[\0-\x1f\x7f]")


def scheme_name(url: str | Path) -> str:
    """Return the scheme of a URL in small letters; an empty string for a local path."""
    found = None if isinstance(url, Path) or "://" not in url else _SCHEME.match(url)
    return found[1].lower() if found else ""


def is_remote(url: str | Path) -> bool:
    """Return whether this is a URL, and no local path."""
    return bool(scheme_name(url))


def url_fault(url: str) -> str:
    """Return why no storage can have such a URL, completing a line that begins with it; or nothing."""
    rest = _SCHEME.sub("", url, count=1)
    if not is_utf8(url):
        return "a URL must be UTF-8; rename the file"
    if _CONTROL.search(url):
        return "contains a control character; rename the file"
    parts = rest.strip("/").split("/")
    if parts == [""]:
        return "names nothing; give what comes after the scheme"
    if "//" in rest:
        return "contains an empty part (//); remove a slash"
    if not {".", ".."}.isdisjoint(parts):
        return "contains a part . or ..; write the URL without it"
    return ""


def absolute(url: str | Path) -> str:
    """Return the location in full: an absolute path, or a URL without a slash at its end."""
    if is_remote(url):
        return f"{scheme_name(url)}://{_rest(url)}"
    return os.path.abspath(url)  # noqa: PTH100 - links keep their own names


def as_folder(url: str) -> str:
    """Return the URL of a folder with one slash at its end."""
    return f"{absolute(url)}/" if is_remote(url) else url.rstrip("/") + "/"


def join(url: str | Path, *names: str) -> str:
    """Return the location of something in a folder. names: relative, and without . and .. parts."""
    if is_remote(url):
        return "/".join((absolute(url), *names))
    parts = (str(url).removesuffix("/"), *names)
    is_plain = _is_plain(parts[0]) and not any(part.startswith("/") for part in names)
    return "/".join(parts) if is_plain and all(map(_is_plain, names)) else str(Path(url, *names))


def parent(url: str | Path) -> str:
    """Return the folder that a location is in; the URL of a bucket for the bucket itself."""
    if _is_plain(url):
        head, slash, _ = url.rpartition("/")
        return head or slash or "."
    if not is_remote(url):
        return str(Path(url).parent)
    head, _, _ = _rest(url).rpartition("/")
    return f"{scheme_name(url)}://{head}" if head else absolute(url)


def parents(url: str | Path) -> Iterator[str]:
    """Yield the folders that a location is in, from the inside outwards."""
    if not is_remote(url):
        yield from map(str, Path(url).parents)
        return
    inner = absolute(url)
    while (outer := parent(inner)) != inner:
        yield outer
        inner = outer


def name(url: str | Path) -> str:
    """Return the last part of a location."""
    last = url.rpartition("/")[2] if isinstance(url, str) else "."
    if last not in {"", "."}:
        return last
    return _rest(url).rpartition("/")[2] if is_remote(url) else Path(url).name


def suffix(url: str | Path) -> str:
    """Return the suffix of the last part, as Path.suffix does."""
    last = name(url)
    at = last.rfind(".")
    return last[at:] if 0 < at < len(last) - 1 else ""


def is_own(url: str | Path) -> bool:
    """Return whether a file is a claim or an incomplete file, which the farm itself removes."""
    return name(url).startswith(".farm-") and suffix(url) in {".claim", ".part"}


def _is_plain(url: str | Path) -> TypeGuard[str]:
    """Return whether a local path can be taken apart as it is, many times faster than a Path.

    It has no empty part, and none that starts with a dot.
    """
    if not isinstance(url, str) or not url or "//" in url or "/." in url:
        return False
    return url[0] != "." and url[-1] != "/"


def _rest(url: str | Path) -> str:
    return _SCHEME.sub("", str(url), count=1).rstrip("/")


def is_utf8(path: str) -> bool:
    """Return whether a path can be written as UTF-8, as in records and in the ledger."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def shown(path: str) -> str:
    r"""Return a path with the bytes that are not UTF-8 written out, such as \xe9."""
    readable = _BYTES.sub(lambda byte: f"\\x{ord(byte[0]) - 0xDC00:02x}", path)
    return readable.encode("utf-8", "backslashreplace").decode()
