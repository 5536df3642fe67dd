"""A ledger and a farm that writes to it."""

from ..workbench import (  # noqa: TID252 - shared between rooms
    ledger,
    ledger_url,
    make_farm,
    pictures,
    registry,
    spec,
)

__all__ = ["ledger", "ledger_url", "make_farm", "pictures", "registry", "spec"]
