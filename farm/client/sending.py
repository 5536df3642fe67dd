"""Uploads files of this machine, and finds those that a request names."""

import os
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any, BinaryIO, Final

from farm import storage
from farm.client.connection import TRIES, Connection, quoted
from farm.errors import BadInput, Conflict, NotFound, UserError
from farm.model.root_names import check_below_root

PIECE_BYTES: Final = 8 * 2**20
"""Most bytes of one request, so that a connection that breaks costs little."""


def send_file(connection: Connection, path: Path) -> str:
    """Upload what a service lacks of a file; return its location there. Raises BadInput."""
    try:
        digest = storage.sha256_file(path)
        with path.open("rb") as file:
            return _send_rest(connection, file, f"/api/uploads/{digest}?name={quoted(path.name)}")
    except OSError as error:
        raise BadInput(str(path), (error.strerror or str(error)).lower()) from error


def _send_rest(connection: Connection, file: BinaryIO, url: str) -> str:
    """Send pieces until the service has the whole file; return its location there.

    A piece whose answer was lost may have arrived, in part or whole. The service then refuses it, and
    the next one begins where the service says.
    """
    size = os.fstat(file.fileno()).st_size
    start, stalled = _arrived(connection, url), 0
    while True:
        file.seek(start)
        piece = file.read(min(PIECE_BYTES, size - start))
        last = start + len(piece) - 1
        headers = {"content-range": f"bytes {start}-{last}/{size}"} if piece else {}
        try:
            answer = connection.request("PUT", url, content=piece, headers=headers)
        except Conflict:
            arrived = _arrived(connection, url)
            stalled = stalled + 1 if arrived == start else 0
            if stalled == TRIES:
                raise
            start = arrived
            continue
        if answer.status_code != HTTPStatus.PERMANENT_REDIRECT:
            return str(answer.json()["path"])
        start = _next_byte(answer.headers.get("range", ""))


def _arrived(connection: Connection, url: str) -> int:
    """Return how many bytes of a file a service has."""
    try:
        answer = connection.request("HEAD", url)
    except NotFound:
        return 0
    return _next_byte(answer.headers.get("range", ""))


def _next_byte(arrived: str) -> int:
    """Return the number of bytes in a range such as bytes=0-99; 0 for none."""
    last = arrived.rpartition("-")[2]
    return int(last) + 1 if last.isdecimal() else 0


class LocalFiles:
    """Replaces files of this machine by their uploads in a request. roots: names of the service's."""

    def __init__(self, connection: Connection, roots: list[str]) -> None:
        self._connection, self._roots = connection, frozenset(roots)
        self._sent: dict[str, str] = {}

    def input(self, text: str) -> str:
        """Return where the service finds an input. Raises UserError if it cannot be uploaded."""
        if not text:
            raise UserError("an input is empty; give ROOT/path, or a file of this machine")
        if text.startswith("blank:") or self._is_there(text):
            return text
        if Path(text).is_file():
            return self._send(text)
        listed = ", ".join(sorted(self._roots)) or "(none)"
        reason = f"is no file here, nor below a root of the farm: {listed}"
        if Path(text).is_dir():
            reason = f"is a folder; give its files, or a folder below a root of the farm: {listed}"
        raise BadInput(text, reason)

    def output(self, text: str) -> str:
        """Return an output that is below a root of the service. Raises OutsideRoots."""
        if text:
            check_below_root(text, self._roots)
        return text

    def params(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return parameters with the upload in place of each file of this machine."""
        return {name: self._value(value) for name, value in values.items()}

    def _value(self, value: Any) -> Any:
        match value:
            case Path():
                return self._text(str(value))
            case str():
                return self._text(value)
            case list() | tuple():
                return [self._value(item) for item in value]
            case dict():
                return {key: self._value(item) for key, item in value.items()}
        return value

    def _text(self, text: str) -> str:
        """Return a text with the upload in place of FILE, also in FILE=WEIGHT.

        A name without a suffix or a slash may be a word that happens to be the name of a file.
        """
        file, equals, weight = text.rpartition("=")
        for name, rest in ((text, ""), (file, equals + weight)):
            if ("/" in name or Path(name).suffix) and not self._is_there(name):
                try:
                    is_file = Path(name).is_file()
                except (OSError, ValueError):
                    is_file = False
                if is_file:
                    return self._send(name) + rest
        return text

    def _is_there(self, text: str) -> bool:
        """Return whether a text is a location on the service."""
        name, slash, _ = text.partition("/")
        return bool(slash) and name in self._roots

    def _send(self, path: str) -> str:
        if path not in self._sent:
            self._sent[path] = send_file(self._connection, Path(path))
        return self._sent[path]
