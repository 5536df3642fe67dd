"""How long threads that compute together wait for each other before they give their core away.

Where other processes use the cores as well, a thread that waits for one that has no core keeps
another thread from running. GNU's OpenMP, which torch comes with, then takes many times as long as
one thread: by default it waits some ten milliseconds before it sleeps, at every operation.
"""

import os
from typing import Final

__all__ = ["SPIN_ENVIRONMENT", "spin_briefly"]

SPIN_ENVIRONMENT: Final = {"GOMP_SPINCOUNT": "10000"}
"""A few tenths of a millisecond: on a machine with nothing else to do, frames take as long as before."""


def spin_briefly() -> None:
    """Wait briefly, unless the user's environment says how to wait. Call this before torch is imported."""
    if "OMP_WAIT_POLICY" not in os.environ:
        for name, value in SPIN_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
