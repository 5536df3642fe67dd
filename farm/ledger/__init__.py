"""The durable record of every job and unit, which survives crashes."""

from farm.ledger.ledger import Ledger, Transaction
from farm.ledger.service import Service

__all__ = ["Ledger", "Service", "Transaction"]
