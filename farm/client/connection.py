"""A connection to a service: requests whose answers are JSON, and refusals as errors of the farm."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NoReturn
from urllib.parse import quote, urlsplit

import httpx

from farm.errors import (
    BadParameter,
    Busy,
    Conflict,
    FarmError,
    NotFound,
    ServerFailed,
    ServerSilent,
    ServerUnavailable,
    TooLarge,
    UserError,
)

TRIES: Final = 3
"""How often a request is sent whose answer is lost. Each may be repeated without harm."""

SECONDS: Final = 30.0
"""How long an answer is waited for."""

CONNECT_SECONDS: Final = 5.0

_GATEWAY: Final = frozenset({502, 503, 504})
"""What a proxy says of a farm that it cannot reach, in words of its own."""

_REFUSALS: Final[Mapping[int, type[UserError]]] = {
    404: NotFound,
    409: Conflict,
    413: TooLarge,
    429: Busy,
}


class Connection:
    """A connection to one service. Threads may share it.

    server: its URL. token: empty if it wants none.
    """

    def __init__(self, server: str, token: str = "") -> None:
        self.server = _checked(server)
        if not (token.isascii() and (token.isprintable() or not token)):
            raise UserError("FARM_TOKEN contains characters that no token has; copy it again")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        timeout = httpx.Timeout(SECONDS, connect=CONNECT_SECONDS)
        self._http = httpx.Client(base_url=self.server, headers=headers, timeout=timeout)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **query: object) -> Any:
        """Return the JSON at a path. Query values of None are left out."""
        given: Any = {name: value for name, value in query.items() if value is not None}
        return self._json(self.request("GET", path, params=given))

    def send(self, method: str, path: str, body: object, **query: object) -> Any:
        """Send JSON, and return the JSON of the answer."""
        return self._json(self.request(method, path, json=body, params=query))

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Send a request, again if its answer is lost; return the answer if it is no refusal.

        Raises UserError for a refusal, by kind, ServerFailed for an error of the farm, ServerSilent
        if it takes the request and does not answer, and ServerUnavailable.
        """
        for left in reversed(range(TRIES)):
            try:
                response = self._http.request(method, path, **options)
            except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError) as error:
                if not left:
                    raise self._unavailable(error) from error
            except httpx.TransportError as error:
                raise self._unavailable(error) from error
            else:
                break
        if response.is_error:
            self._refuse(response)
        return response

    @contextmanager
    def stream(self, path: str, **options: Any) -> Iterator[httpx.Response]:
        """Yield an answer whose content is read piece by piece.

        Raises as request does, also for a connection that breaks within the block.
        """
        try:
            with self._http.stream("GET", path, **options) as response:
                if response.is_error:
                    response.read()
                    self._refuse(response)
                yield response
        except httpx.TransportError as error:
            raise self._unavailable(error) from error

    def _json(self, response: httpx.Response) -> Any:
        try:
            return response.json()
        except ValueError as error:
            raise self._stranger() from error

    def _refuse(self, response: httpx.Response) -> NoReturn:
        """Raise the error that a refusal stands for."""
        if response.status_code == 401:
            raise UserError(self._token_fault(response))
        if response.request.method == "HEAD":  # its refusals have no content
            phrase = response.reason_phrase.lower()
            raise _error_of(response.status_code, "", phrase, self.server)
        try:
            fault = response.json()["error"]
            message, field = str(fault["message"]), str(fault.get("field") or "")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            if response.status_code >= 500 and response.status_code not in _GATEWAY:
                phrase = response.reason_phrase.lower()
                raise ServerFailed(self.server, response.status_code, phrase) from error
            raise self._stranger(f"it answers with status {response.status_code}") from error
        raise _error_of(response.status_code, field, message, self.server)

    def _token_fault(self, response: httpx.Response) -> str:
        if "authorization" in response.request.headers:
            return f"{self.server} does not know this token, or it was revoked; set FARM_TOKEN to yours"
        return f"{self.server} asks for a token; set FARM_TOKEN to yours"

    def _unavailable(self, error: httpx.TransportError) -> ServerUnavailable:
        if isinstance(error, httpx.ReadTimeout | httpx.WriteTimeout):
            limits = error.request.extensions["timeout"]
            limit = limits["read" if isinstance(error, httpx.ReadTimeout) else "write"]
            return ServerSilent(self.server, limit)
        reason = " ".join(str(error).split()) or type(error).__name__
        return ServerUnavailable(self.server, reason)

    def _stranger(self, reason: str = "its answer is no JSON") -> ServerUnavailable:
        return ServerUnavailable(self.server, f"something else does; {reason}")


def quoted(text: str) -> str:
    """Return a text as one part of a path or of a query, so that it stands for nothing else."""
    return quote(text, safe="")


def _checked(server: str) -> str:
    """Return the URL of a server. Raises UserError if it is none."""
    allowed = "give a URL such as http://127.0.0.1:8420"
    try:
        parts = urlsplit(server)
        is_url = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_url = False
    if not is_url:
        raise UserError(f"{server!r} is no address of a farm; {allowed}")
    if parts.username or parts.password:
        raise UserError(f"a name and password cannot be part of a farm's address; {allowed}")
    return server.rstrip("/")


def _error_of(status: int, field: str, message: str, server: str) -> FarmError:
    if status >= 500:
        return ServerFailed(server, status, message)
    if status == 400 and field.startswith("params."):
        name = field.removeprefix("params.")
        return BadParameter(name, message.removeprefix(f"{name}: "))
    if status == 400 and field and field not in message:
        return UserError(f"{field}: {message}")
    return _REFUSALS.get(status, UserError)(message)
