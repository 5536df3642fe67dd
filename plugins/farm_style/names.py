"""Names that the trainer of a painter and its user share."""

from typing import Final

RESULT: Final = "generator.safetensors"
"""What a training run leaves in its folder."""
