"""Draw the demo's picture: clouds of fractal noise over hills at sunset, from a seed."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

Field = NDArray[np.floating]

ZENITH: Final = (0.13, 0.27, 0.55)
MIDDLE: Final = (0.47, 0.60, 0.78)
HORIZON: Final = (0.99, 0.78, 0.55)
SUNLIT: Final = (1.0, 0.95, 0.87)
SHADED: Final = (0.52, 0.50, 0.62)
HILLS: Final = ((0.45, 0.42, 0.53), (0.29, 0.30, 0.38), (0.13, 0.16, 0.20))


def draw_sky(height: int = 480, width: int = 640, seed: int = 5) -> Field:
    """Return a picture [height, width, 3], 0..1. Equal seeds give equal pictures."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / height
    picture = _air(y, x)
    picture = _clouds(picture, y, x, generator)
    for distance in range(len(HILLS)):
        picture = _hill(picture, y, x, distance, generator)
    for _ in range(9):
        picture = _bird(picture, y, x, generator)
    return np.clip(picture, 0, 1).astype(np.float32)


def _air(y: Field, x: Field) -> Field:
    """Return a clear sky with the glow of a low sun on the right."""
    low = _smooth(0.0, 0.45, y)
    sky = _mix(_mix(np.asarray(ZENITH), np.asarray(MIDDLE), low), HORIZON, _smooth(0.3, 0.75, y))
    distance = np.hypot(x - 1.0, (y - 0.62) * 1.2)
    glow = np.exp(-9 * distance**2) * 0.35 + np.exp(-300 * distance**2) * 0.6
    return np.asarray(sky + glow[..., None] * np.asarray((1.0, 0.85, 0.6)), np.float32)


def _clouds(picture: Field, y: Field, x: Field, generator: np.random.Generator) -> Field:
    """Blend clouds over the sky, flatter and denser towards the horizon."""
    depth = 1 / (0.95 - np.minimum(y, 0.8))
    rows, columns = depth * 1.6, (x - 0.6) * depth * 0.9 + 4
    lattices = [generator.random((64, 64), dtype=np.float32) for _ in range(6)]
    warp = _fractal(rows + 7, columns + 3, lattices[::-1], octaves=3)
    thickness = _fractal(rows + 0.5 * warp, columns + 0.5 * warp, lattices, octaves=6)
    towards_sun = _fractal(
        rows + 0.5 * warp + 0.12, columns + 0.5 * warp + 0.12, lattices, octaves=4
    )
    cover = _smooth(0.46, 0.68, thickness) * (1 - 0.6 * _smooth(0.55, 0.75, y))
    light = np.clip(0.75 + 3.2 * (thickness - towards_sun) - 1.1 * (thickness - 0.5), 0, 1)
    colour = _mix(np.asarray(SHADED), np.asarray(SUNLIT), light)
    warm = _mix(colour, np.asarray(HORIZON), 0.5 * _smooth(0.2, 0.7, y))
    return _mix(picture, warm, 0.95 * cover)


def _hill(
    picture: Field, y: Field, x: Field, distance: int, generator: np.random.Generator
) -> Field:
    lattice = [generator.random((64, 64), dtype=np.float32) for _ in range(6)]
    ridge = _fractal(np.full_like(x, distance * 9), x * (2.2 + distance) + 5, lattice, octaves=6)
    edge = 0.70 + 0.085 * distance - (0.20 - 0.04 * distance) * (ridge - 0.4)
    cover = np.clip((y - edge) * picture.shape[0], 0, 1)
    haze = np.clip(1 - (y - edge) * 5, 0, 1) * (0.30 - 0.1 * distance)
    return _mix(picture, _mix(np.asarray(HILLS[distance]), np.asarray(HORIZON), haze), cover)


def _bird(picture: Field, y: Field, x: Field, generator: np.random.Generator) -> Field:
    """Draw a distant bird: two raised wings, thin at the tips."""
    top, left = 0.16 + 0.14 * generator.random(), 0.30 + 0.45 * generator.random()
    span = 0.012 + 0.012 * generator.random()
    along = np.abs(x - left) / span
    wing = top - span * 0.75 * np.sqrt(np.clip(along, 0, 1)) + span * 0.5 * along**2
    ink = np.clip(1.4 - np.abs(y - wing) * picture.shape[0] / 1.1, 0, 1) * (along < 1)
    return _mix(picture, np.asarray((0.12, 0.13, 0.18)), 0.9 * ink * (1 - 0.5 * along.clip(0, 1)))


def _fractal(rows: Field, columns: Field, lattices: list[Field], octaves: int) -> Field:
    """Return fractal value noise, 0..1: octaves of lattice noise, each finer and fainter."""
    total, weight = np.zeros_like(rows), 0.0
    for octave, lattice in enumerate(lattices[:octaves]):
        total += _noise(rows * 2**octave, columns * 2**octave, lattice) * 0.5**octave
        weight += 0.5**octave
    return np.asarray(total / weight, np.float32)


def _noise(rows: Field, columns: Field, lattice: Field) -> Field:
    """Return smoothly interpolated values of the lattice, which repeats."""
    top, left = np.floor(rows).astype(int), np.floor(columns).astype(int)
    down, right = _ease(rows - top), _ease(columns - left)
    size = lattice.shape[0]

    def at(row: int, column: int) -> Field:
        return np.asarray(lattice[(top + row) % size, (left + column) % size], np.float32)

    upper = at(0, 0) * (1 - right) + at(0, 1) * right
    lower = at(1, 0) * (1 - right) + at(1, 1) * right
    return np.asarray(upper * (1 - down) + lower * down, np.float32)


def _ease(fraction: Field) -> Field:
    return np.asarray(fraction**3 * (fraction * (fraction * 6 - 15) + 10), np.float32)


def _smooth(low: float, high: float, values: Field) -> Field:
    """Return 0 below low, 1 above high, and a smooth step between."""
    return _ease(np.clip((values - low) / (high - low), 0, 1))


def _mix(below: NDArray[np.floating], above: object, cover: NDArray[np.floating]) -> Field:
    """Blend a colour or picture over another. cover: 0 keeps the one below, 1 hides it."""
    weight = cover[..., None]
    return np.asarray(below * (1 - weight) + np.asarray(above) * weight, np.float32)
