"""The loop that joins planning, scheduling, ledger and executor: store, act, notify."""
