"""The guard in front of every route: who asks, from which page, and how much.

One middleware, so that no route can be forgotten. Without tokens a service listens on the loopback
address only. Any page that the user visits can send requests there, so a request must name this
machine as its host, and a change must not come from another site's page.
"""

import base64
import binascii
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from farm.errors import UserError
from farm.service.audit import Audit
from farm.service.tokens import Token, TokenFile
from farm.service.wire import Fault, Refusal

__all__ = ["Guard", "Rules"]

OPEN: Final = frozenset({"/healthz"})
"""Paths of the application that need no token."""

BODY_BYTES: Final = 1_000_000
UPLOADS: Final = "/api/uploads/"
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "[::1]"})

_NOT_GIVEN: Final = "a token is needed: Authorization: Bearer TOKEN; `farm token new` gives one"
_NOT_KNOWN: Final = "no such token, or it was revoked; `farm token new` gives one"

_HOST: Final = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")
_JSON: Final = re.compile(r"application/json\s*(;.*)?", re.IGNORECASE)
_HEADERS: Final = (
    (
        "content-security-policy",
        (
            "default-src 'self'; img-src 'self' blob:; media-src 'self' blob:; object-src 'none'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
            "require-trusted-types-for 'script'; trusted-types 'none'"
        ),
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
)


@dataclass(frozen=True)
class Rules:
    """What a guard checks against.

    is_local: only this machine can reach the service, so that it needs no token while there is
    none. hosts: its names, if no token is needed.
    """

    tokens: TokenFile
    audit: Audit
    is_local: bool = True
    hosts: frozenset[str] = LOOPBACK_NAMES


Count = Callable[[str, str, int, float], None]
"""Counts an answer: its method, route and status, and the seconds it took."""


class Guard:
    """Lets only requests that are allowed reach the application. count: see Count.

    page: the paths of the page's own files, which are open, so that the page can ask for a token.
    """

    def __init__(
        self, app: ASGIApp, rules: Rules, count: Count, page: frozenset[str] = frozenset()
    ) -> None:
        self._app, self._rules, self._count = app, rules, count
        self._open = OPEN | page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        began, status = monotonic(), 0

        async def send_safely(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._note(scope, status)  # whoever has the answer finds the line
                added = MutableHeaders(scope=message)
                for name, value in _HEADERS:
                    added.setdefault(name, value)
                kept = "no-store" if scope["path"].startswith("/api/") else "no-cache"
                added.setdefault("cache-control", kept)
            await send(message)

        scope.setdefault("state", {})
        token, refusal = self._admit(scope, headers)
        scope["state"]["token"] = token
        try:
            if refusal:
                await refusal(scope, receive, send_safely)
            else:
                await self._pass(scope, headers, receive, send_safely)
        finally:
            self._count(scope["method"], _template(scope), status, monotonic() - began)
            if not status:
                self._note(scope, status)

    def _note(self, scope: Scope, status: int) -> None:
        """Add a line to the audit if a request asks for a change. status: 0 if it got no answer."""
        if scope["method"] in SAFE:
            return
        token, client = scope["state"]["token"], scope.get("client")
        self._rules.audit.note(
            token=token.id if token else "",
            name=token.name if token else "",
            address=client[0] if client else "",
            action=f"{scope['method']} {_template(scope)}",
            job=scope["state"].get("job") or scope.get("path_params", {}).get("job", ""),
            status=status,
        )

    def _admit(self, scope: Scope, headers: Headers) -> tuple[Token | None, ASGIApp | None]:
        """Return the token of a request, and the answer to it if it is refused."""
        if scope["path"] in self._open and scope["method"] in SAFE:
            return None, None
        try:
            is_open = self._rules.is_local and not self._rules.tokens.tokens()
            token = None if is_open else self._token(headers)
        except UserError:
            return None, _refuse(503, "unavailable", "the file of tokens cannot be read")
        if is_open and not _names(headers, self._rules.hosts):
            return None, _refuse(
                403, "forbidden", "this host name is not one of the service's; use localhost"
            )
        if not is_open and token is None:
            return None, _refuse(
                401,
                "unauthorized",
                _NOT_KNOWN if headers.get("authorization") else _NOT_GIVEN,
                challenge=_challenge(headers),
            )
        if scope["method"] not in SAFE and not _is_own_page(headers):
            return token, _refuse(403, "forbidden", "the request comes from another site's page")
        return token, _fault(scope, headers)

    def _token(self, headers: Headers) -> Token | None:
        secret = _secret(headers.get("authorization", ""))
        return self._rules.tokens.find(secret) if secret else None

    async def _pass(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """Let a request through, unless its body turns out to be too large."""
        limit = None if scope["path"].startswith(UPLOADS) else BODY_BYTES
        if limit is not None and _length(headers) > limit:
            await _too_large()(scope, receive, send)
            return
        body = _Body(receive, limit)

        async def send_unless_too_large(message: Message) -> None:
            if not body.is_too_large:
                await send(message)

        await self._app(scope, body.receive, send_unless_too_large)
        if body.is_too_large:
            await _too_large()(scope, receive, send)


def _template(scope: Scope) -> str:
    """Return the path of a request with names in place of its values."""
    return getattr(scope.get("route"), "path", None) or "other"


class _Body:
    """A body that ends, as if its sender had gone, where it is longer than a limit in bytes."""

    def __init__(self, receive: Receive, limit: int | None) -> None:
        self._receive, self._limit, self._seen = receive, limit, 0
        self.is_too_large = False

    async def receive(self) -> Message:
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._limit is not None and self._seen > self._limit:
            self.is_too_large = True
            return {"type": "http.disconnect"}
        return message


def _names(headers: Headers, hosts: Iterable[str]) -> bool:
    """Return whether a request names one of these hosts, and no other."""
    given = headers.getlist("host")
    match = _HOST.fullmatch(given[0]) if len(given) == 1 else None
    return match is not None and match["name"].lower() in hosts


def _is_own_page(headers: Headers) -> bool:
    """Return whether a request comes from a program, or from a page of this service."""
    if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
        return False
    origins = headers.getlist("origin")
    if not origins:
        return True
    host = headers.get("host", "")
    return len(origins) == 1 and bool(host) and urlsplit(origins[0]).netloc == host


def _secret(authorization: str) -> str:
    """Return the token in a header: as Bearer, or as the password that a browser asks for."""
    kind, _, value = authorization.partition(" ")
    match kind.lower():
        case "bearer":
            return value.strip()
        case "basic":
            try:
                text = base64.b64decode(value.strip(), validate=True).decode()
            except (binascii.Error, UnicodeDecodeError):
                return ""
            return text.partition(":")[2]
        case _:
            return ""


def _challenge(headers: Headers) -> str:
    """Return how to ask for a token: a browser that opens a page shall ask its user."""
    if "text/html" in headers.get("accept", ""):
        return 'Basic realm="farm: any name, and a token as the password", charset="UTF-8"'
    return 'Bearer realm="farm"'


def _fault(scope: Scope, headers: Headers) -> ASGIApp | None:
    """Return the answer to a request whose form is wrong."""
    raw = scope.get("raw_path") or b""
    if b"%00" in raw or "\0" in scope["path"]:
        return _refuse(400, "bad_request", "the path contains a zero character")
    if scope["method"] in SAFE or scope["path"].startswith(UPLOADS):
        return None
    has_body = _length(headers) > 0 or "transfer-encoding" in headers
    if has_body and not _JSON.fullmatch(headers.get("content-type", "")):
        return _refuse(415, "unsupported", "the body must be application/json")
    return None


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0")
    return int(text) if text.isdecimal() and len(text) < 20 else 0


def _too_large() -> ASGIApp:
    return _refuse(413, "too_large", f"the body has more than {BODY_BYTES:,} bytes")


def _refuse(status: int, code: str, message: str, challenge: str = "") -> ASGIApp:
    body = Refusal(error=Fault(code=code, message=message))
    headers = {"www-authenticate": challenge} if challenge else {}
    return JSONResponse(body.model_dump(), status, headers)
