"""Decides which stills several workers can render together."""

from farm.errors import FarmError
from farm.media import still_size
from farm.planning.plan import Footage

__all__ = ["is_shared"]


def is_shared(footage: Footage, tile: int) -> bool:
    """Return whether several workers can share what a job renders: a single still larger than a tile.

    tile: side in pixels; 0 if there are none. A still that cannot be read counts as not shared;
    rendering it reports why.
    """
    if not tile or footage.sequences or footage.refused or len(footage.stills) != 1:
        return False
    _, source, _ = footage.stills[0]
    try:
        return max(still_size(source)) > tile
    except FarmError:
        return False
