"""The starter network's file: a real dream with no download.

Knows where the weights lie and their digest; imports no torch. The card is CARD.md beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["SHA256", "WEIGHTS"]

WEIGHTS: Final = Path(__file__).with_name("starter.safetensors")
SHA256: Final = "3ad06333100b92da69d2b3f3a73991269603ca805e9c0cbc2f3a8a132099b7b3"
