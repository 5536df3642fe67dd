"""Names of files that training and rendering share, and of the trained style networks."""

from difflib import get_close_matches
from pathlib import Path
from typing import Final

from farm import BadParameter

RESULT: Final = "generator.safetensors"
"""The trained style network in the folder of a run."""

SHIPPED: Final = Path(__file__).parent / "styles"


def shipped() -> tuple[str, ...]:
    """Return the names of the trained style networks that come with the farm."""
    return tuple(sorted(path.stem for path in SHIPPED.glob("*.safetensors")))


def find(name: str) -> str:
    """Return the file of a trained style network: shipped, given or of a run. Raises BadParameter.

    A URL is looked up when it is read.
    """
    if "://" in name:
        return name if name.endswith(".safetensors") else f"{name.rstrip('/')}/{RESULT}"
    for path in (SHIPPED / f"{name}.safetensors", Path(name), Path(name) / RESULT):
        if path.suffix == ".safetensors" and path.is_file():
            return str(path)
    close = get_close_matches(name, shipped(), n=1)
    meant = f"did you mean {close[0]}? Or " if close else ""
    raise BadParameter(
        "fast",
        f"no trained style network {name!r}; {meant}give {', '.join(shipped())}, a .safetensors file, or "
        "the folder of a finished `farm train-style` run",
    )
