"""The durable record of every job and unit, which survives crashes."""

from farm.ledger.ledger import Ledger

__all__ = ["Ledger"]
