"""What was moved between a storage and this machine."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["read", "write"]


@dataclass(frozen=True)
class Transfers:
    """Files that were moved in one direction. scheme: of the storage; ``file`` is a local disk.

    count: files, those included that failed. bytes: that arrived. errors: how many failed because of the storage.
    """

    scheme: str
    direction: Direction
    count: int = 0
    bytes: int = 0
    seconds: float = 0.0
    errors: int = 0
