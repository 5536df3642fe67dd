"""The starter network's file: a real dream with no download.

Knows where the weights lie and their digest; imports no torch. The card is CARD.md beside them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["SHA256", "WEIGHTS"]

WEIGHTS: Final = Path(__file__).with_name("starter.safetensors")
SHA256: Final = "07e5a838dc0860f3b202b2012e10812dc5be98b40266297c24030a843c28ebce"
