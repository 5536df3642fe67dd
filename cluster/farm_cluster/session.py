"""Join a Ray cluster, or start a private one, without output and without changing signals.

Ctrl-C interrupts it at any time.
"""

import os
import secrets
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from farm.errors import UserError
from farm.execution.heap import HEAP_ENVIRONMENT
from farm.execution.spinning import spin_environment
from farm.host.executor import ExecutorOptions
from farm.settings import Settings
from farm.storage import remove_folder
from farm_cluster.joining import check_address

__all__ = ["Disconnect", "connect", "do_nothing", "prepare_environment", "worker_environment"]

Disconnect = Callable[[], None]

_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".*",
    "RAY_IGNORE_UNHANDLED_ERRORS": "1",
}
_UNUSED: Final = ("start_monitor", "start_log_monitor", "start_api_server")
"""Processes of Ray that a private cluster does without: nobody reads what they serve."""

_MOST_WORKERS_PER_CORE: Final = 4
"""Of a private cluster: a few workers more than cores do no harm, thousands do."""

_STORE_BYTES: Final = 2**27
"""Size of Ray's object store. Orders only name files, so pictures never pass through Ray."""


def prepare_environment(address: str | None) -> None:
    """Set the environment variables that Ray reads. Call this before importing Ray.

    A private cluster gets its own token, so that Ray writes nothing to the home folder. An
    existing cluster uses the token from Ray's own settings.
    """
    inherited = _QUIET if address else _QUIET | HEAP_ENVIRONMENT | spin_environment()
    for name, value in inherited.items():
        os.environ.setdefault(name, value)
    has_token = bool({"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & os.environ.keys())
    if address is None and not has_token:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    if address is None or has_token:
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def worker_environment(address: str | None) -> dict[str, str]:
    """Return the variables that a worker needs of this process's environment.

    Those of a private cluster inherit it, so that they can use the processes that Ray starts ahead.
    """
    blocked = ",".join(sorted(Settings().block_plugins))
    if address is None:
        return {}
    named = {"FARM_BLOCK_PLUGINS": blocked} if blocked else {}
    return HEAP_ENVIRONMENT | spin_environment() | named


def do_nothing() -> None:
    """Stay connected."""


def connect(options: ExecutorOptions) -> Disconnect:
    """Connect this process to the cluster in the options, or start a private one.

    Returns how to disconnect, which does nothing if the process was already connected, and removes
    what a private cluster wrote. Raises UserError if no cluster answers, or if this machine has too
    few cores for the workers.
    """
    import ray

    if ray.is_initialized():
        return do_nothing
    address = options.address
    settings: dict[str, Any] = {"address": address}
    if address is None:
        settings = _private(options)
    else:
        check_address(address)
    with _own_signals(), _few_processes() if address is None else nullcontext():
        try:
            cluster = ray.init(
                namespace="farm",
                include_dashboard=False,
                log_to_driver=False,
                logging_level="ERROR",
                **settings,
            )
        except (ray.exceptions.RayError, RuntimeError, ValueError, OSError) as error:
            raise UserError(_describe_refusal(address, error)) from error
    folder = cluster.address_info["session_dir"] if address is None else ""
    return partial(_disconnect, folder)


def _disconnect(folder: str) -> None:
    """Disconnect, and remove the folder of Ray's logs and sockets, if one is given."""
    import ray

    if folder:
        _skip_grace()
    ray.shutdown()
    if folder:
        remove_folder(Path(folder))
        latest = Path(folder).with_name("session_latest")
        with suppress(OSError):
            if latest.readlink() == Path(folder):
                latest.unlink()


def _skip_grace() -> None:
    """Let ray.shutdown() kill its processes at once.

    They start with SIGTERM blocked (see _own_signals), so that it would wait a second for each.
    """
    import ray

    node = getattr(ray._private.worker, "_global_node", None)  # noqa: SLF001 - there is no option
    if node is not None:
        kill = node.kill_all_processes
        node.kill_all_processes = lambda **_: kill(check_alive=False, allow_graceful=False)


@contextmanager
def _few_processes() -> Iterator[None]:
    """Start no process of Ray that is not used, which saves seconds."""
    from ray._private.node import Node

    start = {name: getattr(Node, name) for name in _UNUSED}
    for name in _UNUSED:
        setattr(Node, name, lambda *_args, **_options: None)
    try:
        yield
    finally:
        for name, function in start.items():
            setattr(Node, name, function)


def _private(options: ExecutorOptions) -> dict[str, Any]:
    """Return Ray's settings for a private cluster. It has no GPUs if torch cannot use them."""
    from farm.engine.device import pick_device

    settings = {"num_cpus": _cores(options), "object_store_memory": _STORE_BYTES}
    has_gpu = pick_device() != "cpu"
    return {"address": "local", **settings, **({} if has_gpu else {"num_gpus": 0})}


def _cores(options: ExecutorOptions) -> int:
    """Return the cores of a private cluster. Raises UserError if the workers need far more."""
    cores = os.cpu_count() or 1
    needed = (options.workers or 1) * options.threads
    most = _MOST_WORKERS_PER_CORE * cores
    if needed > most:
        raise UserError(
            f"no room for {options.workers or 1} workers with --threads {options.threads}: at most "
            f"{most // options.threads} fit on the {cores} cores of this machine, "
            f"{_MOST_WORKERS_PER_CORE} threads per core; lower --workers or --threads"
        )
    return max(cores, needed)


def _describe_refusal(address: str | None, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reason = lines[0] if lines else type(error).__name__
    if address is None:
        return f"cannot start Ray on this machine: {reason}"
    return f"the Ray cluster at {address} refused the connection: {reason} (it may need RAY_AUTH_TOKEN)"


@contextmanager
def _own_signals() -> Iterator[None]:
    """Keep this process's handling of signals during ray.init(), and some from Ray's processes.

    ray.init() replaces the SIGTERM handler by one that raises SystemExit. A terminal that closes
    sends SIGHUP to all its processes, as a service manager sends SIGTERM, but Ray's must live until the
    job has ended in order. So they start with both blocked, as Ray itself does with SIGINT.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    is_terminated = False
    try:
        with _blocked_for_children({signal.SIGHUP, signal.SIGTERM}):
            yield
    except SystemExit:
        is_terminated = True
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)
    if is_terminated:
        signal.raise_signal(signal.SIGTERM)


@contextmanager
def _blocked_for_children(numbers: set[signal.Signals]) -> Iterator[None]:
    """Block signals in the processes that this thread starts, but not in this process.

    They inherit the thread's mask. Meanwhile another thread receives the signals, and Python calls
    their handlers in the main thread as always.
    """
    is_over = threading.Event()
    receiver = threading.Thread(target=is_over.wait, name="signals", daemon=True)
    receiver.start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        is_over.set()
        receiver.join()
