"""Sets of pictures to train on: one reader for prepared datasets, folders and zips."""

from farm.media.dataset.pictures import open_pictures

__all__ = ["open_pictures"]
