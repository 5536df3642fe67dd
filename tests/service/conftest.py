"""A service on a fake executor, with a client that speaks to it over HTTP."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx
import pytest

from farm.host.registry import Registry
from farm.model.messages import Message
from farm.service.audit import Audit
from farm.service.guard import Rules
from farm.service.http_service import Service, Settings, open_http_service
from farm.service.roots import Roots
from farm.service.serving import listen
from farm.service.tokens import TokenFile

from ..fakes import End, FakeExecutor, scripted  # noqa: TID252 - shared with the contract suite
from ..workbench import pictures, registry  # noqa: TID252 - shared between rooms

__all__ = ["pictures", "registry"]

Job = dict[str, Any]


class PacedExecutor(FakeExecutor):
    """A fake that waits for messages in real time, as the executors of a service do.

    may_go_on: while it is not set, the loop is kept waiting.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.may_go_on = Event()
        self.may_go_on.set()

    def poll(self, timeout: float) -> Sequence[Message]:
        self.may_go_on.wait()
        messages = super().poll(timeout)
        if not messages:
            Event().wait(min(timeout, 0.01))
        return messages


@dataclass(frozen=True)
class Served:
    """A running service. client: speaks to it. folder: with the roots ``photos`` and ``out``."""

    client: httpx.Client
    folder: Path
    executor: PacedExecutor
    tokens: TokenFile
    port: int
    service: Service

    def submit(self, **changes: object) -> httpx.Response:
        """Submit a job of three frames."""
        body = {"task": "copy", "inputs": ["photos/"], "output": "out/job/"} | changes
        return self.client.post("/api/jobs", json=body)

    def job(self, job: str) -> Job:
        """Return a job."""
        answer = self.client.get(f"/api/jobs/{job}")
        assert answer.status_code == 200, answer.text
        found: Job = answer.json()
        return found

    def wait(self, job: str, is_there: Callable[[Job], bool]) -> Job:
        """Return a job as soon as this is true of it."""
        for _ in range(500):
            current = self.job(job)
            if is_there(current):
                return current
            Event().wait(0.02)
        raise AssertionError(current)

    def finished(self, **changes: object) -> Job:
        """Submit a job and return it when it has ended."""
        answer = self.submit(**changes)
        assert answer.status_code == 201, answer.text
        return self.wait(answer.json()["id"], has_ended)


def has_ended(job: Job) -> bool:
    return job["state"] in {"completed", "completed_with_failures", "failed", "cancelled"}


Serve = Callable[..., AbstractContextManager[Served]]


@pytest.fixture
def serve(tmp_path: Path, registry: Registry, pictures: Path) -> Serve:
    """Start a service: ``with serve({"a": ["hang"]}, token=True) as served``."""

    @contextmanager
    def start(
        ends: Mapping[str, Sequence[End]] | None = None, *, token: bool = False, **options: Any
    ) -> Iterator[Served]:
        folder = tmp_path
        (folder / "out").mkdir(exist_ok=True)
        tokens = TokenFile(folder / "private" / "tokens.json")
        headers = {"authorization": f"Bearer {tokens.new('me')}"} if token else {}
        uploads = folder / "private" / "uploads"
        uploads.mkdir(parents=True, exist_ok=True, mode=0o700)
        (folder / "private").chmod(0o700)
        places = {"photos": pictures, "out": folder / "out", "uploads": uploads}
        roots = Roots.parse(f"{name}={path}" for name, path in places.items())
        audit = Audit(folder / "private" / "audit.jsonl")
        url = f"sqlite:///{folder / 'ledger.db'}"
        settings = Settings(url, folder / "private", roots, Rules(tokens, audit, **options))
        executor, is_over, listener = (
            PacedExecutor(scripted(ends or {})),
            Event(),
            listen("127.0.0.1", 0),
        )
        port = listener.getsockname()[1]
        with listener, open_http_service(registry, lambda: executor, settings, listener) as service:
            loop = Thread(target=service.run, args=(is_over.is_set,), daemon=True)
            loop.start()
            base = f"http://127.0.0.1:{port}"
            try:
                with httpx.Client(
                    base_url=base, headers=headers, timeout=20, trust_env=False
                ) as client:
                    yield Served(client, folder, executor, tokens, port, service)
            finally:
                executor.may_go_on.set()
                is_over.set()
                loop.join(10)
            service.stop()
        audit.close()

    return start


@pytest.fixture
def served(serve: Serve) -> Iterator[Served]:
    """A service on the loopback address, without tokens."""
    with serve() as served:
        yield served
