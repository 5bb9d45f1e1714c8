"""Draws a scene: oversampled polygons, reduced to the model's picture size."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .scenes import COLOURS, Bar, Number, Rgb, Scene, Shape

SIDE = 128
_OVERSAMPLE = 3
_CANVAS = SIDE * _OVERSAMPLE

Points = np.ndarray
Pen = ImageDraw.ImageDraw
Rng = np.random.Generator


def draw(scene: Scene) -> Image.Image:
    """The scene as an RGB picture of 128 x 128 pixels; the same scene gives the same pixels."""
    rng = np.random.default_rng(scene.seed)
    image = Image.new("RGB", (_CANVAS, _CANVAS), scene.background)
    pen = ImageDraw.Draw(image)
    for shape in scene.shapes:
        _draw_shape(pen, rng, shape, scene.aspect)
    if scene.number:
        _draw_number(pen, rng, scene.number)
    if scene.bars:
        _draw_bars(pen, rng, scene.bars, scene.background)
    return image.reduce(_OVERSAMPLE)


def _draw_shape(pen: Pen, rng: Rng, shape: Shape, aspect: float) -> None:
    outline = _OUTLINES[shape.kind]
    if shape.wobble:
        outline = _wobbled(rng, outline, shape.wobble)
    cos, sin = math.cos(shape.angle), math.sin(shape.angle)
    turned = outline @ np.array([[cos, sin], [-sin, cos]])
    stretch = np.array([min(1.0, 1 / aspect), min(1.0, aspect)])
    points = (turned * stretch * shape.radius + (shape.x, shape.y)) * _CANVAS
    colour = _jittered(rng, shape.colour)
    flat = [tuple(p) for p in points]
    if shape.outlined:
        width = max(6, int(shape.radius * _CANVAS * 0.22))
        pen.line([*flat, flat[0], flat[1]], fill=colour, width=width, joint="curve")
    else:
        pen.polygon(flat, fill=colour)


def _draw_number(pen: Pen, rng: Rng, n: Number) -> None:
    height = n.height * _CANVAS
    step = 0.72 * height
    width = step * len(n.digits)
    left, top = n.x * _CANVAS - width / 2, n.y * _CANVAS - height / 2
    if n.panel:
        pad = 0.14 * height
        box = (left - pad, top - pad, left + width + pad, top + height + pad)
        pen.rounded_rectangle(box, radius=pad * float(rng.uniform(0, 1.2)), fill=_jittered(rng, n.panel))
    colour = _jittered(rng, n.colour)
    slant = float(rng.uniform(-0.06, 0.12))
    for i, digit in enumerate(n.digits):
        x = left + i * step + 0.5 * (step - 0.52 * height)
        box = (x, top, 0.52 * height, height)
        _DIGIT_DRAWERS[n.font](pen, rng, digit, box, colour, n.weight * height, slant)


def _draw_bars(pen: Pen, rng: Rng, bars: tuple[Bar, ...], background: Rgb) -> None:
    axis = (60, 60, 60) if sum(background) > 380 else (200, 200, 200)
    left, right, floor, ceiling = (v * _CANVAS for v in (0.1, 0.94, 0.9, 0.08))
    pen.line([(left, ceiling), (left, floor), (right, floor)], fill=axis, width=5)
    slot = (right - left) / len(bars)
    gap = float(rng.uniform(0.12, 0.3)) * slot
    for i, bar in enumerate(bars):
        x = left + i * slot
        top = floor - bar.value * (floor - ceiling)
        pen.rectangle((x + gap, top, x + slot - gap / 3, floor - 3), fill=_jittered(rng, bar.colour))


def _jittered(rng: Rng, colour: str) -> Rgb:
    shifted = np.array(COLOURS[colour]) + rng.integers(-14, 15, 3)
    return tuple(int(v) for v in np.clip(shifted, 0, 255))


def _wobbled(rng: Rng, outline: Points, amount: float) -> Points:
    """Moves the outline in and out along a slow random wave, as an unsteady hand does."""
    turn = np.linspace(0, 2 * math.pi, len(outline), endpoint=False)
    wave = sum(rng.normal(0, amount / k) * np.cos(k * turn + rng.uniform(0, 2 * math.pi)) for k in (1, 2, 3, 5, 8))
    return outline * (1 + wave)[:, None]


def _densified(corners: list[tuple[float, float]], per_edge: int = 8) -> Points:
    ring = np.array(corners, dtype=float)
    following = np.roll(ring, -1, axis=0)
    steps = np.linspace(0, 1, per_edge, endpoint=False)[:, None]
    return np.concatenate([a + steps * (b - a) for a, b in zip(ring, following, strict=True)])


def _polar(radii: list[float], start: float = -math.pi / 2) -> list[tuple[float, float]]:
    step = 2 * math.pi / len(radii)
    return [(r * math.cos(start + i * step), r * math.sin(start + i * step)) for i, r in enumerate(radii)]


def _heart() -> Points:
    t = np.linspace(0, 2 * math.pi, 48, endpoint=False)
    x = 16 * np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t))
    return np.stack([x, y + 2], axis=1) / 17.5


def _moon() -> Points:
    """A disc with a smaller disc bitten out of its right side; the two arcs meet at the tips."""
    outer = np.linspace(0.3 * math.pi, 1.7 * math.pi, 32)
    edge = np.stack([np.cos(outer), np.sin(outer)], axis=1)
    tip_x, tip_y = edge[0]
    centre = 0.62
    radius = math.hypot(tip_x - centre, tip_y)
    upper_tip = math.atan2(tip_y, tip_x - centre)
    sweep = np.linspace(2 * math.pi - upper_tip, upper_tip, 24)[1:-1]
    bite = np.stack([centre + radius * np.cos(sweep), radius * np.sin(sweep)], axis=1)
    return np.concatenate([edge, bite]) + np.array([0.15, 0])


_OUTLINES: dict[str, Points] = {
    "circle": np.array(_polar([0.92] * 40)),
    "square": _densified(_polar([1.0] * 4, start=-0.75 * math.pi)),
    "triangle": _densified(_polar([1.0] * 3)),
    "star": _densified(_polar([1.0, 0.42] * 5), 4),
    "diamond": _densified([(0, -1), (0.6, 0), (0, 1), (-0.6, 0)]),
    "cross": _densified(
        [(-w, -1) for w in (0.3, -0.3)]
        + [
            (0.3, -0.3),
            (1, -0.3),
            (1, 0.3),
            (0.3, 0.3),
            (0.3, 1),
            (-0.3, 1),
            (-0.3, 0.3),
            (-1, 0.3),
            (-1, -0.3),
            (-0.3, -0.3),
        ],
        4,
    ),
    "heart": _heart(),
    "moon": _moon(),
}

Box = tuple[float, float, float, float]

_SEGMENTS = {
    "0": "abcdef", "1": "bc", "2": "abged", "3": "abgcd", "4": "fgbc",
    "5": "afgcd", "6": "afgedc", "7": "abc", "8": "abcdefg", "9": "abcdfg",
}  # fmt: skip
_SEGMENT_LINES = {
    "a": ((0, 0), (1, 0)),
    "b": ((1, 0), (1, 0.5)),
    "c": ((1, 0.5), (1, 1)),
    "d": ((0, 1), (1, 1)),
    "e": ((0, 0.5), (0, 1)),
    "f": ((0, 0), (0, 0.5)),
    "g": ((0, 0.5), (1, 0.5)),
}
_PIXELS = {
    "0": "0e11131519110e", "1": "040c040404040e", "2": "0e11010204081f", "3": "1f02040201110e", "4": "02060a121f0202",
    "5": "1f101e0101110e", "6": "0608101e11110e", "7": "1f010204080808", "8": "0e11110e11110e", "9": "0e11110f01020c",
}  # fmt: skip
_ARC = [(0.5 + 0.5 * math.cos(t), 0.5 * math.sin(t)) for t in np.linspace(-math.pi, math.pi, 20)]
_STROKES: dict[str, list[list[tuple[float, float]]]] = {
    "0": [[(x, 0.5 + y) for x, y in _ARC]],
    "1": [[(0.2, 0.22), (0.58, 0), (0.58, 1)]],
    "2": [[(0.05, 0.22), (0.2, 0.04), (0.5, 0), (0.82, 0.06), (0.95, 0.27), (0.8, 0.5), (0, 1), (1, 1)]],
    "3": [[
        (0.05, 0.1), (0.5, 0), (0.9, 0.1), (0.92, 0.35), (0.45, 0.47),
        (0.95, 0.62), (0.95, 0.88), (0.5, 1), (0, 0.9),
    ]],
    "4": [[(0.7, 1), (0.7, 0), (0, 0.68), (1, 0.68)]],
    "5": [[(0.92, 0), (0.15, 0), (0.08, 0.45), (0.5, 0.38), (0.95, 0.55), (0.95, 0.82), (0.55, 1), (0, 0.9)]],
    "6": [[
        (0.8, 0), (0.3, 0.25), (0.02, 0.65), (0.2, 0.97), (0.6, 1), (0.97, 0.78),
        (0.8, 0.52), (0.4, 0.48), (0.05, 0.7),
    ]],
    "7": [[(0, 0), (1, 0), (0.4, 1)]],
    "8": [[(0.5 + 0.42 * (x - 0.5) * 2, 0.24 + 0.48 * y) for x, y in _ARC], [(x, 0.74 + 0.52 * y) for x, y in _ARC]],
    "9": [[(0.95, 0.3), (0.6, 0.52), (0.2, 0.48), (0.03, 0.22), (0.4, 0), (0.8, 0.03), (0.97, 0.3), (0.7, 1)]],
}  # fmt: skip


def _segment_digit(pen: Pen, rng: Rng, digit: str, box: Box, colour: Rgb, weight: float, slant: float) -> None:
    x, y, w, h = box
    for name in _SEGMENTS[digit]:
        (ax, ay), (bx, by) = _SEGMENT_LINES[name]
        inset_x, inset_y = 0.1 * (bx - ax), 0.06 * (by - ay)
        line = [(ax + inset_x, ay + inset_y), (bx - inset_x, by - inset_y)]
        placed = [(x + px * w + slant * (0.5 - py) * h, y + py * h) for px, py in line]
        pen.line(placed, fill=colour, width=max(4, int(weight)))


def _pixel_digit(pen: Pen, rng: Rng, digit: str, box: Box, colour: Rgb, weight: float, slant: float) -> None:
    x, y, w, h = box
    cell_w, cell_h = w / 5, h / 7
    for row, bits in enumerate(bytes.fromhex(_PIXELS[digit])):
        for column in range(5):
            if bits >> (4 - column) & 1:
                cx, cy = x + column * cell_w, y + row * cell_h
                pen.rectangle((cx, cy, cx + cell_w, cy + cell_h), fill=colour)


def _stroke_digit(pen: Pen, rng: Rng, digit: str, box: Box, colour: Rgb, weight: float, slant: float) -> None:
    x, y, w, h = box
    width = max(5, int(weight))
    for stroke in _STROKES[digit]:
        jitter = rng.normal(0, 0.02, (len(stroke), 2))
        points = [
            (x + (px + dx) * w + slant * (0.5 - py) * h, y + (py + dy) * h)
            for (px, py), (dx, dy) in zip(stroke, jitter, strict=True)
        ]
        pen.line(points, fill=colour, width=width, joint="curve")
        for px, py in (points[0], points[-1]):
            pen.ellipse((px - width / 2, py - width / 2, px + width / 2, py + width / 2), fill=colour)


def _sans_digit(pen: Pen, rng: Rng, digit: str, box: Box, colour: Rgb, weight: float, slant: float) -> None:
    x, y, w, h = box
    font = _sans(max(8, int(h * 1.36)))
    bold = int(weight / 12)
    pen.text((x + w / 2, y + h), digit, font=font, fill=colour, anchor="ms", stroke_width=bold, stroke_fill=colour)


@lru_cache(maxsize=256)
def _sans(size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.load_default(size)


_DIGIT_DRAWERS = {
    "segment": _segment_digit,
    "pixel": _pixel_digit,
    "stroke": _stroke_digit,
    "sans": _sans_digit,
}
