"""The durable record of every job and unit: no crash loses it."""

from farm.ledger.ledger import Ledger

__all__ = ["Ledger"]
