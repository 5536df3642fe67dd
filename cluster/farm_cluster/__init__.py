"""The executor that runs on a Ray cluster.

Only this package imports Ray, and only when it creates the executor.
"""

from collections.abc import Mapping

from farm import hookimpl
from farm.host.executor import Executor, ExecutorFactory, ExecutorOptions


def make_pool(options: ExecutorOptions) -> Executor:
    """Return a pool of Ray workers, not started yet."""
    from farm_cluster.session import prepare_environment

    prepare_environment(options.address)
    from farm_cluster.pool import RayPool

    return RayPool(options)


@hookimpl
def farm_executors() -> Mapping[str, ExecutorFactory]:
    return {"ray": make_pool}
