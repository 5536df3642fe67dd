from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest

from farm.host.executor import Executor, ExecutorOptions


@pytest.fixture(scope="session")
def start_pool(ray_cluster: Any) -> Callable[..., AbstractContextManager[Executor]]:
    """Start a pool on the tests' cluster and close it after the block."""
    from farm_cluster import make_pool

    @contextmanager
    def start(**options: Any) -> Iterator[Executor]:
        pool = make_pool(ExecutorOptions(**options))
        try:
            pool.start()
            yield pool
        finally:
            pool.close()

    return start
