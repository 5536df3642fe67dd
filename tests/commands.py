"""Runs commands of the farm as a user does, each in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path


def run_farm(folder: Path, *words: str) -> None:
    """Run a command in a folder, with a ledger there. Fails with what it says if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "farm", *words],
        cwd=folder,
        env=os.environ | {"FARM_LEDGER": str(folder / "ledger.db")},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
