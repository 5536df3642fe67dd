"""The starter network's file: a real dream with no download.

Knows where the weights lie and their digest; imports no torch. The card is CARD.md beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["SHA256", "WEIGHTS"]

WEIGHTS: Final = Path(__file__).with_name("starter.safetensors")
SHA256: Final = "2eb6038cc8390a94b36182948f18ed909b48310be4f06bbabca47020ea498def"
