"""Answers HTTP in a thread of its own."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from socket import AF_INET, AF_INET6, create_server, socket
from threading import Thread
from typing import Final

from starlette.types import ASGIApp
from uvicorn import Config, Server

from farm.errors import UserError

__all__ = ["is_loopback", "listen", "serving"]

STOP_SECONDS: Final = 2
"""How long to wait on closing for answers that are being sent."""
BACKLOG: Final = 2048


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach an address."""
    return host in {"localhost", "::1"} or host.startswith("127.")


def listen(host: str, port: int) -> socket:
    """Return a socket that listens. Raises UserError if it cannot."""
    family = AF_INET6 if ":" in host else AF_INET
    try:
        return create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise UserError(
            f"cannot serve on {host}:{port}: {reason}; choose another --port"
        ) from error


@contextmanager
def serving(
    app: ASGIApp, listener: socket, end: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """Answer requests in a thread until the block ends. end: lets those go who listen for events."""
    config = Config(
        app,
        lifespan="off",
        ws="none",
        log_config=None,
        log_level="error",
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=STOP_SECONDS,
        timeout_keep_alive=30,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = Server(config)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        # outside the main thread, uvicorn installs no signal handlers
        thread = Thread(
            target=runner.run, args=(server.serve([listener]),), name="farm-http", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            end()
            server.should_exit = True
            thread.join(2 * STOP_SECONDS + 1)
