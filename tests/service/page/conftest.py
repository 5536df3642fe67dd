"""The farm's page in a real Chromium."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from shutil import which
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from ..conftest import Serve, Served  # noqa: TID252 - of the service

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Response

WAIT_MILLISECONDS = 60_000


@dataclass
class Watched:
    """A page, and what went wrong in it. refused: statuses of answers that are no success."""

    page: "Page"
    base: str
    errors: list[str] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)
    refused: set[int] = field(default_factory=set)

    def listen(self) -> None:
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda dialog: self.errors.append(f"dialog {dialog.message}"))
        self.page.on("console", self._on_console)
        self.page.on("request", lambda request: self.hosts.add(urlsplit(request.url).netloc))
        self.page.on("response", self._on_response)

    def _on_console(self, message: "ConsoleMessage") -> None:
        is_answer = message.text.startswith("Failed to load resource")  # see refused
        if message.type in {"error", "warning"} and not is_answer:
            self.errors.append(message.text)

    def _on_response(self, response: "Response") -> None:
        if response.status >= 400:
            self.refused.add(response.status)

    def open(self, path: str) -> None:
        """Open a view of the page."""
        self.page.goto(f"{self.base}/#{path}")


@pytest.fixture
def serve(serve: Serve) -> Serve:
    """Start a service in a thread of its own, because Playwright's event loop has this one."""

    @contextmanager
    def start(*arguments: Any, **options: Any) -> Iterator[Served]:
        service = serve(*arguments, **options)
        with ThreadPoolExecutor(1) as thread:
            served = thread.submit(service.__enter__).result()
            try:
                yield served
            finally:
                thread.submit(service.__exit__, None, None, None).result()

    return start


Browse = Callable[..., AbstractContextManager[Watched]]


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium. It goes with the module, because no other event loop runs beside Playwright's."""
    playwright = pytest.importorskip("playwright.sync_api")
    if not (chromium := which("chromium")):
        pytest.skip("there is no chromium")
    with playwright.sync_playwright() as started:
        yield started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])


@pytest.fixture
def browse(browser: "Browser") -> Browse:
    """Open pages: ``with browse(served, "/new") as watched``.

    Afterwards nothing has gone wrong in it, and it has asked no other host. refused: the statuses
    that its requests may get apart from success.
    """

    @contextmanager
    def start(
        served: Served, path: str = "/", refused: frozenset[int] = frozenset(), **options: Any
    ) -> Iterator[Watched]:
        with browser.new_context(**options) as context:
            context.set_default_timeout(WAIT_MILLISECONDS)
            base = f"http://127.0.0.1:{served.port}"
            watched = Watched(context.new_page(), base)
            watched.listen()
            watched.open(path)
            yield watched
            assert not watched.errors
            assert {host for host in watched.hosts if host} == {f"127.0.0.1:{served.port}"}
            assert watched.refused <= refused

    return start
