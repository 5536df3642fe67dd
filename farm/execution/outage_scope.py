"""Says of an attempt that met a storage that is gone whether it is gone, or one file of it only."""

from dataclasses import replace

from farm import storage
from farm.errors import StorageFull, StorageUnavailable
from farm.model.messages import Failure

__all__ = ["with_outage_scope"]


def with_outage_scope(failure: Failure, error: BaseException, target: str) -> Failure:
    """Return a failure that names the file if its storage answers otherwise, which is asked for it.

    target: of the unit. Storage that is full has no room for any file, though it gives others.
    """
    if not isinstance(error, StorageUnavailable) or isinstance(error, StorageFull):
        return failure
    is_output = storage.absolute(storage.parent(target)) in storage.parents(
        storage.absolute(error.url)
    )
    if not storage.answers_otherwise(error.url, is_output=is_output):
        return failure
    return replace(failure, alone=error.url)
