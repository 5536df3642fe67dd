"""What frames have cost so far, added up by what the cost depends on."""

import hashlib
import json
from dataclasses import dataclass
from typing import Self

from farm.model.job import JobSpec
from farm.model.unit import Unit
from farm.model.work import Blend, Encode, Render

__all__ = ["Cost", "CostKind", "format_of"]


@dataclass(frozen=True)
class CostKind:
    """What the seconds of a frame depend on, apart from its pixels and the device.

    settings: digest of the parameters and of the plan, without seed and size.
    """

    task: str
    network: str
    settings: str

    @classmethod
    def of(cls, spec: JobSpec) -> Self:
        """Return the kind of a planned job, whose parameters are complete."""
        content = {
            "params": spec.params,
            "plan": spec.plan.model_dump(exclude={"seed", "size"}),
            "coherence": spec.film.coherence,
            "workers": spec.workers,
        }
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        network = spec.params.get("network")
        return cls(spec.task, network if isinstance(network, str) else "", digest[:16])


@dataclass(frozen=True)
class Cost:
    """What frames have cost. units, seconds, pixels: added up, of which older ones count less.

    is_exact: all had the same settings as the job in question. per_unit: seconds that each frame took
    whatever its pixels, as far as frames of several sizes tell.
    """

    units: float
    seconds: float
    pixels: float
    is_exact: bool = True
    per_unit: float = 0.0

    def of(self, pixels: float) -> float:
        """Return the seconds that a worker, or all that share a frame, take for one of these pixels."""
        return self.per_unit + (self.seconds - self.units * self.per_unit) / self.pixels * pixels


def format_of(unit: Unit) -> str:
    """Return the format that a unit writes its file in, on which the bytes per pixel depend.

    Empty if the file does not count: only other units read it, or it consists of files that count.
    """
    work = unit.work
    if isinstance(work, Encode):
        return f"{work.form.codec} {work.form.quality} {work.form.depth}"
    if not isinstance(work, Render | Blend) or unit.is_working:
        return ""
    suffix = unit.target.rpartition(".")[2].lower()
    return f"{suffix} {work.depth}" if work.depth else suffix
