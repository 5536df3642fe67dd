"""Decides which stills several workers can render together."""

from farm.errors import FarmError
from farm.media import still_size
from farm.model.job import Plan
from farm.model.picture_size import sized
from farm.planning.plan import Footage

__all__ = ["is_shared"]


def is_shared(footage: Footage, plan: Plan) -> bool:
    """Return whether several workers can share what a job renders: a single still larger than a tile.

    A still that cannot be read counts as not shared;
    rendering it reports why.
    """
    if not plan.tile or footage.sequences or footage.refused or len(footage.stills) != 1:
        return False
    _, source, _ = footage.stills[0]
    try:
        width, height = still_size(source)
        return max(sized(plan.size, height, width)) > plan.tile
    except FarmError:
        return False
