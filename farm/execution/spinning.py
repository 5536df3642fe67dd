"""How long threads that compute together wait for each other before they give their core away.

Where other processes use the cores as well, a thread that waits for one that has no core keeps
another thread from running. GNU's OpenMP, which torch comes with, then takes many times as long as
one thread: by default it waits some ten milliseconds before it sleeps, at every operation.
"""

import os
from typing import Final

__all__ = ["spin_briefly", "spin_environment"]

_COUNT: Final = "10000"
"""A few tenths of a millisecond: on a machine with nothing else to do, frames take as long as before."""

_VARIABLES: Final = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def spin_environment() -> dict[str, str]:
    """Return how the processes of a farm wait: briefly, unless the user's environment says how."""
    given = {name: os.environ[name] for name in _VARIABLES if name in os.environ}
    return given or {"GOMP_SPINCOUNT": _COUNT}


def spin_briefly() -> None:
    """Wait so in this process. Call this before torch is imported."""
    os.environ.update(spin_environment())
