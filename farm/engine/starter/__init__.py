"""The starter network's file: a real dream with no download.

Knows where the weights lie and their digest; imports no torch. The card is CARD.md beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["SHA256", "WEIGHTS"]

WEIGHTS: Final = Path(__file__).with_name("starter.safetensors")
SHA256: Final = "ba98fe4c46c7be441d0f9ac8f5fb5b13e5e22b5b800969de5aa28ad752e491f4"
