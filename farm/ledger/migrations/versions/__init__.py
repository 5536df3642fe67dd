"""One module per revision. A new one needs a new HEAD in farm.ledger.tables."""
