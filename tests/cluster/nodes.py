"""Nodes that tests add to the session's cluster."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

STORE = 80 * 2**20


@contextmanager
def added_node(cluster: Any, name: str, **options: Any) -> Iterator[None]:
    settings = {"object_store_memory": STORE, "include_log_monitor": False}
    node = cluster.add_node(node_name=name, **settings, **options)
    try:
        yield
    finally:
        cluster.remove_node(node)
