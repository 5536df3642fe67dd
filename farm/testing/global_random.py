"""Sets the random generators of the process to a seed for a while, and tells which of them were used."""

import pickle
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

__all__ = ["Used", "seeded_globals"]


@dataclass
class Used:
    """What happened to the global generators while they had a seed: their states, by name."""

    before: Mapping[str, bytes] = field(default_factory=dict)
    after: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def used(self) -> tuple[str, ...]:
        """Names of the generators that are not in the state in which they began."""
        return tuple(name for name, state in self.before.items() if self.after[name] != state)

    def fixed(self, other: "Used") -> tuple[str, ...]:
        """Names of those in one state after both, although they began with different seeds."""
        return tuple(name for name in self.used if self.after[name] == other.after[name])


@contextmanager
def seeded_globals(seed: int) -> Iterator[Used]:
    """Seed every global generator, and restore it at the end. Yields what is filled in by then."""
    import numpy as np
    import torch

    states = torch.get_rng_state(), np.random.get_state(), random.getstate()  # noqa: NPY002
    torch.manual_seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    random.seed(seed)
    found = Used(before=_states())
    try:
        yield found
        found.after = _states()
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        random.setstate(states[2])


def _states() -> dict[str, bytes]:
    import numpy as np
    import torch

    return {
        "torch's global generator": torch.get_rng_state().numpy().tobytes(),
        "numpy.random's global generator": pickle.dumps(np.random.get_state()),  # noqa: NPY002
        "random's global generator": pickle.dumps(random.getstate()),
    }
