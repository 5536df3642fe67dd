"""Dreams to begin with, chosen by their pictures: named sets of parameters."""

from collections.abc import Mapping
from typing import Any, Final

__all__ = ["DREAMS", "ZOOMS"]

DREAMS: Final[Mapping[str, Mapping[str, Any]]] = {
    "strokes": {"layers": ("conv3",), "octaves": 4, "iterations": 8},
    "whorls": {"layers": ("inception3b",), "octaves": 4, "iterations": 10},
    "eyes": {"layers": ("inception4c",), "octaves": 4, "iterations": 10},
    "palaces": {"layers": ("inception4e",), "octaves": 4, "iterations": 10},
    "cars": {"layers": ("inception5a",), "octaves": 4, "iterations": 10},
    "birds": {"classes": ("goose", "stork", "penguin"), "octaves": 3, "iterations": 16},
}
"""By name, as fields of DreamParams; for the network that comes with the farm."""

ZOOMS: Final[Mapping[str, Mapping[str, Any]]] = {
    name: {key: value for key, value in params.items() if key not in {"octaves", "iterations"}}
    for name, params in DREAMS.items()
}
"""The same looks for the endless dream, whose frames take fewer steps."""
