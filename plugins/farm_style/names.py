"""File names that training and rendering share."""

from typing import Final

RESULT: Final = "generator.safetensors"
"""The trained style network in the folder of a run."""
