"""Draw the pictures that the other shipped style networks are trained on, each in a style of its own.

    python -m farm_style.drawings glass glass.png

Uses no network and reads no file.
"""

import sys
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from farm_style.painting import Picture, Plane, clouds

FINE: Final = 2
"""Drawings are made this many times as large, and shrunk."""


JEWELS: Final = (
    (196, 22, 40),
    (18, 60, 170),
    (240, 178, 20),
    (10, 120, 84),
    (120, 30, 130),
    (236, 110, 24),
    (90, 180, 220),
    (246, 226, 150),
    (30, 30, 110),
)
INDIGO: Final = (
    (18, 38, 84),
    (36, 84, 138),
    (102, 156, 178),
    (226, 216, 184),
    (238, 232, 210),
    (198, 74, 48),
    (36, 84, 138),
    (20, 48, 96),
)
SUMMER: Final = ((40, 40, 130), (30, 120, 170), (70, 160, 90), (240, 210, 70), (240, 130, 60))
TUBES: Final = ((255, 40, 160), (40, 220, 255), (255, 210, 60), (130, 80, 255))


def draw(name: str, side: int = 768, seed: int = 7) -> Picture:
    """Return a drawing, RGB in 0..1. name: in DRAWINGS. side: pixels, at least 64."""
    large = DRAWINGS[name](side * FINE, np.random.default_rng(seed))
    return np.asarray(large.resize((side, side), Image.Resampling.LANCZOS)) / 255


def _glass(side: int, g: np.random.Generator) -> Image.Image:
    """Return panes of jewel colours between leads, brighter towards a light behind."""
    palette = np.array(JEWELS)
    seeds = np.concatenate([g.random((90, 2)), 0.5 + 0.3 * g.standard_normal((60, 2))])
    nearest, second = _two_nearest(side, seeds)
    gap, pane = second[0] - nearest[0], nearest[1]
    light = np.clip(
        1.25 - 0.9 * nearest[0] * len(seeds) ** 0.5 + 0.2 * clouds(side, 9, g), 0.35, 1.4
    )
    colours = palette[g.integers(0, len(palette), len(seeds))] * g.uniform(
        0.75, 1.1, (len(seeds), 1)
    )
    grain = 1 + 0.10 * clouds(side, 60, g)
    panes = colours[pane] * (light * grain)[..., None]
    lead = np.clip((gap - 0.010) / 0.003, 0, 1)
    shine = 40 * np.exp(-(((gap - 0.004) / 0.002) ** 2))
    return _image(panes * lead[..., None] + (14 + shine)[..., None] * (1 - lead)[..., None])


def _ink(side: int, g: np.random.Generator) -> Image.Image:
    """Return hatching in ink that follows round forms, crossed where it is dark."""
    sheet = Image.new("RGB", (side, side), (244, 236, 216))
    pen = ImageDraw.Draw(sheet)
    tone, field = _forms(side, g)
    for turn, darkest in ((0.0, 0.85), (0.9, 0.55), (-0.9, 0.38), (0.35, 0.22)):
        for place in g.random((int(5200 * darkest), 2)) * side:
            row, column = place.astype(int)
            if tone[row, column] <= darkest * g.uniform(0.85, 1.1):
                points = _path(place, field, turn, 0.05 * side * g.uniform(0.5, 1.3))
                width = max(1, round(side * g.uniform(0.0012, 0.0028)))
                pen.line(points, (22, 20, 26), width, joint="curve")
    return sheet


def _woodblock(side: int, g: np.random.Generator) -> Image.Image:
    """Return bands of flat colour like waves, with dark outlines and foam."""
    y, x = np.mgrid[:side, :side] / side
    swell = clouds(side, 3, g) * 0.35 + 0.10 * clouds(side, 6, g)
    phase = 7 * (y + 0.5 * swell) + 1.1 * np.sin(5 * x + 4 * swell)
    phase += 0.25 * np.abs(np.sin(26 * x + 9 * phase)) ** 0.7
    band = np.floor(phase).astype(int) % len(INDIGO)
    edge = np.minimum(phase % 1, 1 - phase % 1) / np.hypot(*np.gradient(phase))
    lines = np.abs((phase * 5) % 1 - 0.5) / np.hypot(*np.gradient(phase * 5))
    wood = 1 + 0.05 * np.sin(90 * (x + 0.05 * clouds(side, 5, g)) + 8 * clouds(side, 12, g))
    colours = np.array(INDIGO)[band] * wood[..., None]
    fine = np.clip(lines / (side * 0.0016) - 0.2, 0, 1) * 0.45 + 0.55
    colours = colours * np.where(band % 2 == 0, fine, 1.0)[..., None]
    outline = np.clip(edge / (side * 0.0018) - 1, 0, 1)[..., None]
    return _image(colours * outline + np.array((22, 26, 48)) * (1 - outline))


def _dots(side: int, g: np.random.Generator) -> Image.Image:
    """Return round dots of pure colours that mix in the eye."""
    stops = np.array(SUMMER)
    hue = np.clip(0.5 + 0.45 * clouds(side, 4, g) + 0.15 * clouds(side, 8, g), 0, 0.999)
    sheet = Image.new("RGB", (side, side), (236, 228, 206))
    pen = ImageDraw.Draw(sheet)
    for y, x in g.random((9500, 2)) * side:
        place = float(np.clip(hue[int(y), int(x)] + g.normal(0, 0.13), 0, 0.999)) * (len(stops) - 1)
        low = int(place)
        colour = stops[low] + (stops[low + 1] - stops[low]) * (place - low)
        if g.random() < 0.16:
            colour = 255 - colour * 0.9
        colour = np.clip(colour * g.uniform(0.85, 1.2), 0, 255).astype(int)
        radius = side * g.uniform(0.006, 0.0105)
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), tuple(colour.tolist()))
    return sheet


def _neon(side: int, g: np.random.Generator) -> Image.Image:
    """Return glowing tubes in circles, triangles and grids before a night of deep violet."""
    y = np.mgrid[:side, :side][0] / side
    night = np.array((14, 6, 34)) + y[..., None] * np.array((26, 4, 40))
    lines, cores = (Image.new("RGB", (side, side)) for _ in range(2))
    for _ in range(46):
        colour = TUBES[g.integers(0, len(TUBES))]
        centre, radius = g.random(2) * side, side * g.uniform(0.04, 0.17)
        corners = int(g.choice((3, 4, 4, 6, 40)))
        angles = g.uniform(0, 6) + np.linspace(0, 2 * np.pi, corners + 1)
        points = [
            tuple(p) for p in (centre + radius * np.stack([np.cos(angles), np.sin(angles)], 1))
        ]
        ImageDraw.Draw(lines).line(points, colour, round(side * 0.007), joint="curve")
        ImageDraw.Draw(cores).line(points, (255, 245, 255), round(side * 0.0022), joint="curve")
    glow = sum(
        np.asarray(lines.filter(ImageFilter.GaussianBlur(side * blur)), float) * strength
        for blur, strength in ((0.0012, 1.0), (0.008, 1.1), (0.03, 1.3))
    )
    return _image(night + glow + 0.8 * np.asarray(cores.filter(ImageFilter.GaussianBlur(2)), float))


DRAWINGS: Final[dict[str, Callable[[int, np.random.Generator], Image.Image]]] = {
    "dots": _dots,
    "glass": _glass,
    "ink": _ink,
    "neon": _neon,
    "woodblock": _woodblock,
}


def _image(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.clip(values, 0, 255).astype(np.uint8))


def _two_nearest(side: int, seeds: np.ndarray) -> list[tuple[Plane, np.ndarray]]:
    """Return the distance and number of each pixel's nearest point, then of the second nearest."""
    y, x = np.mgrid[:side, :side] / side
    first, second = np.full((side, side), np.inf), np.full((side, side), np.inf)
    number = np.zeros((side, side), int)
    for index, (row, column) in enumerate(seeds):
        away = np.hypot(y - row, x - column)
        second = np.minimum(second, np.maximum(first, away))
        number = np.where(away < first, index, number)
        first = np.minimum(first, away)
    return [(first, number), (second, number)]


def _forms(side: int, g: np.random.Generator) -> tuple[Plane, np.ndarray]:
    """Return the tone, 0 dark to 1 light, and the direction of strokes, of lit round forms."""
    height = clouds(side, 4, g) + 0.35 * clouds(side, 9, g)
    down, right = np.gradient(height * side / 4)
    light = (0.7 - 0.6 * down - 0.5 * right) / np.sqrt(1 + down**2 + right**2)
    length = np.hypot(down, right) + 1e-9
    return np.clip(0.22 + 0.65 * light, 0, 1), np.stack([-right, down]) / length


def _path(
    place: np.ndarray, field: np.ndarray, turn: float, length: float
) -> list[tuple[float, ...]]:
    """Return points (x, y) from a place along a field turned by some radians, over length pixels."""
    turned = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    points = [place]
    for _ in range(8):
        row, column = np.clip(points[-1], 0, field.shape[1] - 1).astype(int)
        points.append(points[-1] + turned @ field[:, row, column] * length / 8)
    return [tuple(point[::-1]) for point in points]


if __name__ == "__main__":
    _image(draw(sys.argv[1]) * 255 + 0.5).save(sys.argv[2])
