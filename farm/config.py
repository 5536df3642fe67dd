"""What the environment may set, in one table, and the paths that follow from it."""

import os
from pathlib import Path
from typing import Final

ENVIRONMENT: Final = {
    "FARM_PLUGINS_DIR": "Folder of single-file plugins, as --plugins-dir.",
    "FARM_BLOCK_PLUGINS": "Plugins not to load, by name, separated by commas.",
    "FARM_LEDGER": "Where jobs are recorded: a file, or a database URL.",
}
"""Every variable the farm reads, with its meaning."""


def blocked_plugins() -> frozenset[str]:
    """Return the names in FARM_BLOCK_PLUGINS."""
    names = os.environ.get("FARM_BLOCK_PLUGINS", "").split(",")
    return frozenset(name.strip() for name in names if name.strip())


def ledger_path() -> Path | None:
    """Return the ledger's file, or None where FARM_LEDGER is a database URL."""
    place = os.environ.get("FARM_LEDGER", "")
    if "://" in place:
        return None
    if place:
        return Path(place).expanduser().absolute()
    from platformdirs import user_state_path

    return user_state_path("farm", appauthor=False) / "ledger.db"


def ledger_url() -> str:
    """Return the ledger's database URL."""
    path = ledger_path()
    return os.environ["FARM_LEDGER"] if path is None else f"sqlite:///{path}"


def plugins_dir() -> Path | None:
    """Return the folder in FARM_PLUGINS_DIR, or None."""
    folder = os.environ.get("FARM_PLUGINS_DIR")
    return Path(folder) if folder else None


def all_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
