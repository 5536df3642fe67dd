"""Refuses inputs of another shape than a mask, before any work starts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from farm.errors import BadInput
from farm.model.mask_shape import misfit
from farm.planning.picture_footage import still_shape
from farm.planning.plan import Footage, FrameSequence

__all__ = ["without_misfits"]

Shape = tuple[int, int]


def without_misfits(footage: Footage, masks: Sequence[str], size: str | None) -> Footage:
    """Return the footage with every input refused that has another shape than one of the masks.

    masks: paths of pictures. size: that inputs are brought to. What cannot be read is passed over,
    because rendering it reports why. Raises BadInput if nothing is left to render.
    """
    shapes = {mask: shape for mask in masks if (shape := still_shape(mask, None))}
    if not shapes:
        return footage
    faults: dict[str, BadInput] = {}
    refused = [*footage.refused]
    for name, source, target, found in _inputs(footage, size):
        if name not in faults and (fault := _fault(shapes, found)):
            faults[name] = fault
            refused.append((name, source, target, str(fault)))
    stills = [still for still in footage.stills if still[0] not in faults]
    sequences = [sequence for sequence in footage.sequences if sequence.name not in faults]
    if faults and not stills and not sequences:
        raise next(iter(faults.values()))
    return replace(footage, stills=stills, sequences=sequences, refused=refused)


def _inputs(footage: Footage, size: str | None) -> Iterator[tuple[str, str, str, Shape | None]]:
    """Yield the name, source and target of each input, and the shape that it is rendered at."""
    for name, source, target in footage.stills:
        yield name, source, target, still_shape(source, size)
    for sequence in footage.sequences:
        for source, shape in _shapes(sequence, size):
            yield sequence.name, source, sequence.target, shape


def _shapes(sequence: FrameSequence, size: str | None) -> Iterator[tuple[str, Shape | None]]:
    if sequence.size:
        yield sequence.origin, sequence.size
        return
    for source in dict.fromkeys(frame.source for frame in sequence.frames):
        yield source, still_shape(source, size)


def _fault(shapes: Mapping[str, Shape], found: Shape | None) -> BadInput | None:
    """Return what is wrong with the first mask that does not fit. shapes: of the masks."""
    if found is None:
        return None
    reasons = ((mask, misfit(shape, found)) for mask, shape in shapes.items())
    return next((BadInput(mask, reason) for mask, reason in reasons if reason), None)
