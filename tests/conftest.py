"""What every test may ask for."""

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real pictures and weights, where the checkout has them beside it."""
    folder = Path(
        os.environ.get("FARM_TEST_DATA", Path(__file__).parents[2] / "shared" / "data")
    )
    if not folder.is_dir():
        pytest.skip(f"no test data at {folder}; set FARM_TEST_DATA")
    return folder
