"""Nodes that tests add to the session's cluster, and what its pools say."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from farm.host.executor import Executor
from farm.model.messages import Message

STORE = 80 * 2**20


@contextmanager
def added_node(cluster: Any, name: str, **options: Any) -> Iterator[None]:
    settings = {"object_store_memory": STORE, "include_log_monitor": False}
    node = cluster.add_node(node_name=name, **settings, **options)
    try:
        yield
    finally:
        cluster.remove_node(node)


def listen(pool: Executor) -> Iterator[Message]:
    """Yield every message of a pool, however many one poll returns."""
    while True:
        yield from pool.poll(1.0)


def until(messages: Iterator[Message], kind: type[Message]) -> Any:
    """Return the next message of this kind."""
    return next(message for message in messages if isinstance(message, kind))
