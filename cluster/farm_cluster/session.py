"""Joining a Ray cluster, or starting a private one: silent, and leaving the process as it was."""

import os
import secrets
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from farm.errors import UserError
from farm.host.executor import ExecutorOptions

__all__ = ["connect", "prepare_environment", "worker_environment"]

_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
}
_PROBE_SECONDS: Final = 4.0
_STORE_BYTES: Final = 2**27
"""Workers are sent orders, which name files; pictures never pass through Ray."""


def prepare_environment(address: str | None) -> None:
    """Set what Ray reads from the environment. Call it before Ray is imported.

    A private cluster gets a token of its own, so that nothing is written to the home folder.
    A cluster that is joined is spoken to with the token that Ray's own settings give.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    has_token = bool({"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys())
    if address is None and not has_token:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if address is None or has_token:
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def worker_environment(threads: int) -> dict[str, str]:
    """Return the environment of a worker process with so many threads."""
    blocked = os.environ.get("FARM_BLOCK_PLUGINS")
    return {"OMP_NUM_THREADS": str(threads)} | ({"FARM_BLOCK_PLUGINS": blocked} if blocked else {})


def connect(options: ExecutorOptions) -> bool:
    """Connect this process to the options' cluster, or to a private one that it starts.

    Returns False where the process was connected before; then whoever connected it disconnects
    it. Raises UserError where no cluster answers.
    """
    import ray

    if ray.is_initialized():
        return False
    address = options.address
    settings: dict[str, Any] = {"address": address}
    if address is None:
        cores = max(os.cpu_count() or 1, (options.workers or 1) * options.threads)
        settings = {"address": "local", "num_cpus": cores, "object_store_memory": _STORE_BYTES}
    else:
        _probe(address)
    with _own_signals():
        try:
            ray.init(
                namespace="farm",
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                **settings,
            )
        except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
            raise UserError(_refusal(address, error)) from error
    return True


def _probe(address: str) -> None:
    """Refuse at once what Ray would only give up after minutes. Raises UserError."""
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdigit() and 0 < int(port) < 2**16) or "/" in host:
        raise UserError(f"--address {address}: give HOST:PORT, for example 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _PROBE_SECONDS).close()
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"no Ray cluster answers at {address} ({reason}); start one with `ray start --head`, "
            "or leave --address out"
        ) from error


def _refusal(address: str | None, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    if address is None:
        return f"Ray cannot start here: {reason}"
    return f"the Ray cluster at {address} refuses: {reason} (it may ask for RAY_AUTH_TOKEN)"


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep the process's way of ending: ray.init() replaces its SIGTERM handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
