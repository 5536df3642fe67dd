"""The control loop around planner, scheduler, ledger and executor: store, act, notify."""
