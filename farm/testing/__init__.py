"""For plugin authors' tests: a context without a farm, and a check of any effect.

A plugin's test can be as short as ``check_effect(Invert)``. torch is imported when a check runs.
"""

from farm.testing.context import FakeContext
from farm.testing.effects import check_effect

__all__ = ["FakeContext", "check_effect"]
