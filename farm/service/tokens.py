"""Tokens: who may ask a service. A file keeps their digests; a token itself is shown once.

A token is 256 random bits, so that one plain digest is as good as a slow one.
"""

import hashlib
import json
import os
import secrets
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from hmac import compare_digest
from pathlib import Path
from typing import Any, Final

from farm import storage
from farm.errors import BadInput, BadParameter, UnknownName, UserError
from farm.service.roots import NAME

__all__ = ["Token", "TokenFile"]

PREFIX: Final = "farm_"
_PRIVATE: Final = 0o077
"""Rights of others, which a file of tokens must not give."""


@dataclass(frozen=True)
class Token:
    """A token that was given out. id: public. name: of its holder. sha256: of the token."""

    id: str
    name: str
    created: float
    sha256: str


class TokenFile:
    """The tokens of a service, in a file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._seen: tuple[int, int, int] | None = None
        self._tokens: list[Token] = []

    def tokens(self) -> list[Token]:
        """Return the tokens, oldest first. Raises BadInput if the file is damaged or others can read it."""
        try:
            status = self.path.stat()
        except FileNotFoundError:
            self._seen, self._tokens = None, []
            return []
        if status.st_mode & _PRIVATE:
            raise BadInput(str(self.path), "others can read it; run `chmod 600` on it")
        seen = status.st_mtime_ns, status.st_size, status.st_ino
        if seen != self._seen:
            self._tokens, self._seen = self._read(), seen
        return self._tokens

    def _read(self) -> list[Token]:
        try:
            content: Any = json.loads(self.path.read_bytes())
            return [Token(**row) for row in content["tokens"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BadInput(str(self.path), f"it is no file of tokens ({error})") from error

    def find(self, secret: str) -> Token | None:
        """Return the token with this secret, if there is one."""
        digest = _digest(secret)
        found = None
        for token in self.tokens():
            if compare_digest(token.sha256, digest):
                found = token
        return found

    def new(self, name: str) -> str:
        """Add a token, and return its secret, which nobody can read again.

        Raises BadParameter for a name that is not like an id, or that another token has.
        """
        self._check_name(name)
        secret = PREFIX + secrets.token_urlsafe(32)
        token = Token(secrets.token_hex(4), name, time.time(), _digest(secret))
        self._write([*self.tokens(), token])
        return secret

    def _check_name(self, name: str) -> None:
        if not NAME.fullmatch(name):
            allowed = "small letters, digits, . _ and -, at most 64, the first a letter or a digit"
            raise BadParameter("name", f"{name!r} is no name for a token; give {allowed}")
        if same := [each.id for each in self.tokens() if each.name == name]:
            raise BadParameter(
                "name", f"{name} has token {same[0]}; revoke it first, or choose another name"
            )

    def revoke(self, token: str) -> None:
        """Remove a token by its id. Raises UnknownName."""
        tokens = self.tokens()
        left = [each for each in tokens if each.id != token]
        if len(left) == len(tokens):
            raise UnknownName("token", token, [each.id for each in tokens])
        self._write(left)

    def _write(self, tokens: list[Token]) -> None:
        """Write the file, private from its first byte on."""
        content: Mapping[str, Any] = {"tokens": [asdict(token) for token in tokens]}
        hidden = self.path.with_name(f".farm-{secrets.token_hex(8)}.part")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(
                os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w"
            ) as file:
                json.dump(content, file, indent=1)
                file.flush()
                os.fsync(file.fileno())
            hidden.replace(self.path)
        except OSError as error:
            with suppress(OSError):
                hidden.unlink()
            raise UserError(str(storage.write_error(str(self.path), error))) from error


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
