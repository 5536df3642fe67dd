"""What stands between a file from anywhere and the decoders.

Limits before anything is allocated, no warning that leaks, and one clear line for whatever a
decoder raises.
"""

import errno
import logging
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Final
from warnings import catch_warnings, simplefilter

import pyvips
from PIL import Image, UnidentifiedImageError

from farm.errors import BadInput, FarmError, StorageFailed
from farm.storage import input_path

__all__ = ["TooLarge", "guarded", "one_line"]

for _library in ("PIL", "pyvips"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

pyvips.cache_set_max(0)  # a file that changed would be given as it was before

_BYTES_A_PIXEL: Final = 16
"""A file may have this many bytes for every pixel that is allowed."""

_PASSING: Final = frozenset({errno.EIO, errno.ESTALE, errno.ETIMEDOUT})


class TooLarge(ValueError):
    """More pixels than the limit allows: ``TooLarge("(NUMBER pixels)")``, as Pillow writes it."""


@contextmanager
def guarded(url: str, max_pixels: int) -> Iterator[Path]:
    """Give the path of an input that may be decoded inside the block.

    A Pillow picture of more than max_pixels raises before it is decoded. Pillow's limit and
    warnings belong to the whole process, so one thread at a time is let through.

    Raises BadInput for whatever is wrong with the file, StorageFailed where reading failed on
    the way.
    """
    path = input_path(url)
    with _one_reader, _refusals(url, max_pixels), _pillow_limit(max_pixels):
        _check_file(url, path, max_pixels)
        yield path


_one_reader = Lock()


@contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    before = Image.MAX_IMAGE_PIXELS
    with catch_warnings():
        simplefilter("ignore")
        simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _check_file(url: str, path: Path, max_pixels: int) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(url, "this is no file; give a picture")
    if not status.st_size:
        raise BadInput(url, "the file is empty")
    if status.st_size > max_pixels * _BYTES_A_PIXEL:
        raise TooLarge


@contextmanager
def _refusals(url: str, max_pixels: int) -> Iterator[None]:
    try:
        yield
    except FarmError:
        raise
    except (TooLarge, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        counted = re.search(r"\((\d+) pixels\)", str(error))
        pixels = f"{int(counted[1]):,}" if counted else "too many"
        raise BadInput(url, f"{pixels} pixels; at most {max_pixels:,} are read") from error
    except UnidentifiedImageError as error:
        raise BadInput(url, "not a picture, damaged, or of a format that is not read") from error
    except MemoryError as error:
        raise BadInput(url, "decoding it takes more memory than there is") from error
    except Exception as error:  # decoders raise anything on damaged files
        if isinstance(error, OSError) and error.errno:
            raise _from_system(url, error) from error
        raise BadInput(url, f"damaged picture: {one_line(error)}") from error


def _from_system(url: str, error: OSError) -> FarmError:
    reason = (error.strerror or str(error)).lower()
    return (StorageFailed if error.errno in _PASSING else BadInput)(url, reason)


def one_line(error: Exception) -> str:
    """Return an error's text on one line of at most 160 characters."""
    words = " ".join(str(error).split()) or type(error).__name__
    return words if len(words) <= 160 else words[:157] + "..."
