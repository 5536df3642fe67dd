"""Draw the painting that the shipped style network is trained on, stroke by stroke.

Strokes follow the currents of a stream function, large brushes first. Each stroke shows its
bristles, and its relief catches the light. Uses no network and reads no file.

    python -m farm_style.painting painting.png
"""

import sys
from dataclasses import dataclass
from typing import Final

import numpy as np
from jaxtyping import Float, Integer
from PIL import Image

Plane = Float[np.ndarray, "side side"]
Picture = Float[np.ndarray, "side side 3"]

PALETTE: Final = (
    (0.00, (12, 22, 62)),
    (0.16, (19, 44, 116)),
    (0.32, (30, 92, 168)),
    (0.44, (64, 158, 186)),
    (0.52, (178, 212, 190)),
    (0.60, (250, 238, 200)),
    (0.70, (244, 190, 72)),
    (0.80, (226, 122, 34)),
    (0.90, (178, 52, 34)),
    (1.00, (78, 18, 48)),
)
"""Colours by depth in the currents, from 0 at the edges to 1 at the centres, RGB in 0..255."""

SUNS: Final = ((0.27, 0.30, 0.20), (0.72, 0.62, 0.26), (0.20, 0.80, 0.13), (0.86, 0.16, 0.12))
"""Whirls: y, x and radius, as fractions of the side."""

LIGHT: Final = (-0.75, -0.66)
"""Direction of the light source: positive is down and right."""


@dataclass(frozen=True)
class Brush:
    """A kind of stroke.

    width, length: as fractions of the side. cover: area of all strokes over that of the canvas.
    spread: standard deviation of the palette depth around that of the canvas.
    """

    width: float
    length: float
    cover: float
    spread: float


BRUSHES: Final = (
    Brush(0.050, 0.24, 3.0, 0.05),
    Brush(0.026, 0.15, 2.2, 0.08),
    Brush(0.014, 0.09, 1.1, 0.12),
    Brush(0.007, 0.05, 0.35, 0.18),
)


def paint(side: int = 768, seed: int = 7) -> Picture:
    """Return the painting, RGB in 0..1. side: pixels, at least 64."""
    canvas = _Canvas(side, np.random.default_rng(seed))
    for brush in BRUSHES:
        canvas.cover(brush)
    return canvas.render()


class _Canvas:
    """The colours, the relief of the paint and the currents that strokes follow."""

    def __init__(self, side: int, generator: np.random.Generator) -> None:
        self._side, self._generator = side, generator
        depth, stream = _currents(side, generator)
        self._depth = depth
        down, right = np.gradient(stream)
        length = np.hypot(down, right) + 1e-9
        self._direction = np.stack([-right / length, down / length])
        self._colours = _mix(depth)
        self._height = np.zeros((side, side))

    def cover(self, brush: Brush) -> None:
        """Lay strokes of one brush at random over the whole canvas."""
        count = int(brush.cover / (brush.width * brush.length))
        for place in self._generator.random((count, 2)) * self._side:
            self._stroke(brush, place)

    def _stroke(self, brush: Brush, place: Float[np.ndarray, "2"]) -> None:
        g = self._generator
        radius = brush.width * self._side / 2 * g.uniform(0.7, 1.2)
        path = self._follow(place, brush.length * self._side * g.uniform(0.6, 1.3))
        low = np.maximum(np.floor(path.min(0) - radius - 1), 0).astype(int)
        high = np.minimum(np.ceil(path.max(0) + radius + 2), self._side).astype(int)
        if (high <= low).any():
            return
        across, along = _unroll(path, low, high)
        bristles = _bristles(across / radius, along, g)
        edge = 1 - np.abs(across) / radius + 0.25 * (bristles - 0.5)
        ends = np.minimum(along, 1 - along) * len(path) * 0.8 + 0.35 * bristles
        opacity = np.clip(edge * radius * 0.8, 0, 1) * np.clip(ends, 0, 1)
        opacity *= np.clip(0.55 + 1.1 * bristles - 0.5 * along, 0, 1)
        colour = self._colour(place, brush.spread) * (0.86 + 0.28 * bristles[..., None])
        box = (slice(low[0], high[0]), slice(low[1], high[1]))
        self._colours[box] += opacity[..., None] * (colour - self._colours[box])
        ridge = radius * (0.35 * bristles + 0.25 * np.clip(np.abs(across) / radius, 0, 1) ** 4)
        self._height[box] += opacity * (0.25 * self._height[box] + ridge - self._height[box])

    def _follow(self, place: Float[np.ndarray, "2"], length: float) -> Float[np.ndarray, "n 2"]:
        """Return points along the current from a place, over length pixels."""
        count = 14
        step = length / (count - 1)
        points = [place]
        for _ in range(count - 1):
            half = points[-1] + self._flow(points[-1]) * step / 2
            points.append(points[-1] + self._flow(half) * step)
        return np.array(points)

    def _flow(self, place: Float[np.ndarray, "2"]) -> Float[np.ndarray, "2"]:
        y, x = np.clip(place, 0, self._side - 1).astype(int)
        return self._direction[:, y, x]

    def _colour(self, place: Float[np.ndarray, "2"], spread: float) -> Float[np.ndarray, "3"]:
        g = self._generator
        y, x = place.astype(int)
        mixed = _mix(self._depth[y, x] + g.normal(0, spread))
        return np.clip(mixed * g.uniform(0.82, 1.16) + g.normal(0, 0.025, 3), 0, 1)

    def render(self) -> Picture:
        """Return the colours, lit from the side to show the relief."""
        down, right = np.gradient(self._height)
        slope = -(down * LIGHT[0] + right * LIGHT[1])
        shine = np.clip(slope, -1.2, 1.2)[..., None] * 0.20
        return np.clip(self._colours * (1 + shine) + 0.18 * np.maximum(shine, 0), 0, 1)


def _currents(side: int, generator: np.random.Generator) -> tuple[Plane, Plane]:
    """Return each pixel's depth in the palette, 0..1, and the stream function."""
    y, x = np.mgrid[:side, :side] / side
    stream = 0.9 * clouds(side, 3, generator) + 0.30 * clouds(side, 7, generator)
    glow = np.zeros((side, side))
    for sun_y, sun_x, radius in SUNS:
        away = np.hypot(y - sun_y, x - sun_x) / radius
        stream += 1.6 * np.exp(-(away**2)) * (1 if radius > 0.15 else -1)
        glow = np.maximum(glow, np.exp(-((away / 0.95) ** 2)))
    rings = 0.5 + 0.5 * np.sin(9 * stream)
    sky = 0.05 + 0.42 * rings * (0.6 + 0.4 * clouds(side, 5, generator)) + 0.06 * stream
    return np.clip(sky * (1 - glow) + glow * (0.62 + 0.32 * rings), 0, 1), stream


def _mix(depth: np.ndarray | float) -> np.ndarray:
    """Return the palette's colours at these depths, RGB in 0..1 along a last axis."""
    stops, colours = zip(*PALETTE, strict=True)
    table = np.array(colours) / 255
    return np.stack([np.interp(depth, stops, table[:, c]) for c in range(3)], -1)


def clouds(side: int, cells: int, generator: np.random.Generator) -> Plane:
    """Return smooth noise, about -1..1, with this many cells per side."""
    grid = Image.fromarray(generator.uniform(-1, 1, (cells + 3, cells + 3)).astype(np.float32))
    large = grid.resize((side + side // cells, side + side // cells), Image.Resampling.BICUBIC)
    return np.asarray(large, dtype=np.float64)[:side, :side]


def _unroll(
    path: Float[np.ndarray, "n 2"], low: Integer[np.ndarray, "2"], high: Integer[np.ndarray, "2"]
) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's signed distance from the path and its position along it, 0..1."""
    y, x = np.mgrid[low[0] : high[0], low[1] : high[1]]
    best = np.full(y.shape, np.inf)
    across, along = np.zeros(y.shape), np.zeros(y.shape)
    steps = np.diff(path, axis=0)
    for number, (start, step) in enumerate(zip(path, steps, strict=False)):
        dy, dx = y - start[0], x - start[1]
        square = step @ step + 1e-9
        part = np.clip((dy * step[0] + dx * step[1]) / square, 0, 1)
        distance = np.hypot(dy - part * step[0], dx - part * step[1])
        nearer = distance < best
        side = np.sign(dy * step[1] - dx * step[0])
        across = np.where(nearer, side * distance, across)
        along = np.where(nearer, (number + part) / len(steps), along)
        best = np.minimum(best, distance)
    return across, along


def _bristles(across: np.ndarray, along: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return the paint that bristles leave, 0..1, as streaks along the stroke."""
    streaks = np.convolve(generator.random(27), [0.25, 0.5, 0.25], "same")
    wave = across + 0.05 * np.sin(7 * along + generator.uniform(0, 6))
    return np.asarray(np.interp(wave, np.linspace(-1.1, 1.1, len(streaks)), streaks))


if __name__ == "__main__":
    picture = (paint() * 255).round().astype(np.uint8)
    Image.fromarray(picture).save(sys.argv[1])
