"""Roots of a service by their names: what it and its clients refuse alike."""

from collections.abc import Collection
from typing import Final

from farm.errors import OutsideRoots
from farm.model.sent_files import UPLOADS

__all__ = ["check_below_root"]

_LONGEST: Final = 80
"""Characters of an output that a refusal shows."""


def check_below_root(output: str, roots: Collection[str]) -> None:
    """Raise OutsideRoots for an output that does not begin with the name of a root."""
    if output.partition("/")[0] not in roots:
        names = ", ".join(name for name in sorted(roots) if name != UPLOADS) or "(none)"
        reason = f"no root has this name; outputs lie below a root of the farm ({names})"
        raise OutsideRoots(output[:_LONGEST], reason, ": give ROOT/path, then fetch it")
