"""Limits and error messages for decoding pictures from untrusted files.

Checks sizes before memory is allocated, silences the decoders' warnings, and turns every decoder
error into one line.
"""

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

from farm.errors import BadInput, FarmError
from farm.storage import input_path, read_trouble

__all__ = ["TooLarge", "decoding_errors", "one_line", "safe_decoding", "safe_decoding_of_bytes"]

for _library in ("PIL", "pyvips"):
    logging.getLogger(_library).addHandler(logging.NullHandler())

pyvips.cache_set_max(0)  # the cache returns stale pixels after a file changes

_BYTES_PER_PIXEL: Final = 16
"""Largest file that is read, in bytes per allowed pixel."""


class TooLarge(ValueError):
    """More pixels than the limit: ``TooLarge("(NUMBER pixels)")``, in Pillow's wording."""


@contextmanager
def safe_decoding(url: str, max_pixels: int) -> Iterator[Path]:
    """Yield the path of an input that may be decoded inside the block.

    Pillow refuses pictures of more than max_pixels before decoding them. Its limit and its
    warnings are global to the process, so only one thread at a time may enter.

    Raises BadInput if the file cannot be decoded, StorageFailed if the storage fails.
    """
    path = input_path(url)
    with _one_reader, decoding_errors(url, max_pixels), _pillow_limit(max_pixels):
        _check_file(url, path, max_pixels)
        yield path


@contextmanager
def safe_decoding_of_bytes(name: str, max_pixels: int) -> Iterator[None]:
    """Let a picture that is in memory be decoded inside the block, under the same rules.

    name: where it came from, for messages. Raises BadInput.
    """
    with _one_reader, decoding_errors(name, max_pixels), _pillow_limit(max_pixels):
        yield


_one_reader = Lock()


@contextmanager
def _pillow_limit(max_pixels: int) -> Iterator[None]:
    previous = Image.MAX_IMAGE_PIXELS
    with catch_warnings():
        simplefilter("ignore")
        simplefilter("error", Image.DecompressionBombWarning)
        Image.MAX_IMAGE_PIXELS = max_pixels
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = previous


def _check_file(url: str, path: Path, max_pixels: int) -> None:
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise BadInput(url, "not a file; give a picture")
    if not status.st_size:
        raise BadInput(url, "the file is empty")
    if status.st_size > max_pixels * _BYTES_PER_PIXEL:
        raise TooLarge


@contextmanager
def decoding_errors(url: str, max_pixels: int) -> Iterator[None]:
    """Turn every error of reading and decoding a picture into a farm error of one line."""
    try:
        yield
    except FarmError:
        raise
    except (TooLarge, Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        count = re.search(r"\((\d+) pixels\)", str(error))
        pixels = f"{int(count[1]):,}" if count else "too many"
        raise BadInput(url, f"{pixels} pixels; the limit is {max_pixels:,}") from error
    except UnidentifiedImageError as error:
        raise BadInput(url, "not a picture, damaged, or in an unsupported format") from error
    except MemoryError as error:
        raise BadInput(url, "not enough memory to decode it") from error
    except Exception as error:  # decoders may raise anything on damaged files
        if isinstance(error, OSError) and error.errno:
            raise _storage_error(url, error) from error
        raise BadInput(url, f"damaged picture: {one_line(error)}") from error


def _storage_error(url: str, error: OSError) -> FarmError:
    reason = (error.strerror or str(error)).lower()
    return read_trouble(url, error) or BadInput(url, reason)


def one_line(error: Exception) -> str:
    """Return an error's text as one line of at most 160 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 160 else text[:157] + "..."
