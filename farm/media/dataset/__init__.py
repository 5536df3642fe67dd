"""Sets of pictures to train on: one reader for prepared datasets, folders and zips."""

from farm.media.dataset.manifest import Options
from farm.media.dataset.pictures import open_pictures
from farm.media.dataset.preparation import prepare

__all__ = ["Options", "open_pictures", "prepare"]
