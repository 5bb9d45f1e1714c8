"""What a picture shows, before it is drawn.

A scene is one of three kinds: loose shapes, a number display, a bar chart. Positions and sizes are fractions of the
picture's side, measured from its top left corner.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

Rgb = tuple[int, int, int]

COLOURS: dict[str, Rgb] = {
    "red": (220, 38, 38),
    "green": (34, 150, 60),
    "blue": (40, 80, 220),
    "yellow": (245, 215, 40),
    "orange": (245, 135, 25),
    "purple": (130, 50, 180),
    "pink": (245, 130, 185),
    "brown": (125, 75, 35),
    "black": (20, 20, 20),
    "white": (250, 250, 250),
}
KINDS = ("circle", "square", "triangle", "star", "diamond", "cross", "heart", "moon")
FONTS = ("segment", "pixel", "stroke", "sans")
MAX_DIGITS = 4


@dataclass(frozen=True)
class Shape:
    """One shape; `radius` is that of the circle around it, `wobble` how unsteady the hand is (0 to about 0.06)."""

    kind: str
    colour: str
    x: float
    y: float
    radius: float
    angle: float
    outlined: bool
    wobble: float


@dataclass(frozen=True)
class Number:
    """A number on a panel; `height` is that of a digit."""

    digits: str
    colour: str
    panel: str | None
    x: float
    y: float
    height: float
    font: str
    weight: float


@dataclass(frozen=True)
class Bar:
    """One bar of a chart; `value` is its height as a fraction of the tallest possible one."""

    colour: str
    value: float


@dataclass(frozen=True)
class Scene:
    """Everything needed to draw one picture; `seed` feeds the jitter of colours and outlines."""

    background: Rgb
    seed: int
    aspect: float = 1.0
    shapes: tuple[Shape, ...] = ()
    number: Number | None = None
    bars: tuple[Bar, ...] = field(default=())


def simple_shapes(rng: np.random.Generator) -> Scene:
    """One to four large shapes of different kinds or colours."""
    return _shapes_scene(rng, int(rng.integers(1, 5)), kinds=4, colours=4, radius=(0.09, 0.19))


def crowd(rng: np.random.Generator, count: int | None = None) -> Scene:
    """One to nine smaller shapes of at most three kinds and three colours, so that there is something to count."""
    count = int(rng.integers(1, 10)) if count is None else count
    return _shapes_scene(rng, count, kinds=3, colours=3, radius=(0.065, 0.115))


def number_display(rng: np.random.Generator, digits: int | None = None) -> Scene:
    """A number of one to four digits, on a coloured panel or on the bare background."""
    count = int(rng.integers(1, MAX_DIGITS + 1)) if digits is None else digits
    text = "".join(str(d) for d in rng.integers(0, 10, count))
    background, allowed = _background(rng)
    panel = str(rng.choice(allowed)) if rng.random() < 0.6 else None
    ground = COLOURS[panel] if panel else background
    colour = str(rng.choice([c for c in COLOURS if _contrast(COLOURS[c], ground) > 150]))
    height = float(rng.uniform(0.17, min(0.34, 1.15 / count)))
    half = 0.36 * height * count + 0.05
    x = float(rng.uniform(half, 1 - half)) if half < 0.5 else 0.5
    y = float(rng.uniform(0.1 + height / 2, 0.9 - height / 2))
    number = Number(text, colour, panel, x, y, height, str(rng.choice(FONTS)), float(rng.uniform(0.09, 0.17)))
    return Scene(background, _seed(rng), _aspect(rng), number=number)


def bar_chart(rng: np.random.Generator) -> Scene:
    """Two to six bars of different colours and clearly different heights where it matters."""
    count = int(rng.integers(2, 7))
    background, allowed = _background(rng)
    colours = rng.choice(allowed, count, replace=False)
    bars = tuple(Bar(str(c), float(v)) for c, v in zip(colours, rng.uniform(0.12, 1.0, count), strict=True))
    return Scene(background, _seed(rng), bars=bars)


def _shapes_scene(rng: np.random.Generator, count: int, kinds: int, colours: int, radius: tuple[float, float]) -> Scene:
    background, allowed = _background(rng)
    kind_choice = rng.choice(KINDS, int(rng.integers(1, kinds + 1)), replace=False)
    colour_choice = rng.choice(allowed, int(rng.integers(1, colours + 1)), replace=False)
    wobble = float(rng.choice([0.0, rng.uniform(0.01, 0.06)]))
    outlined = rng.random() < 0.25
    shapes: list[Shape] = []
    low, high = radius
    while len(shapes) < count:
        place = _free_place(rng, shapes, float(rng.uniform(low, high)))
        if place is None:
            high = max(low, high * 0.95)
            low = min(low, high) * 0.97
            continue
        x, y, r = place
        shapes.append(
            Shape(
                str(rng.choice(kind_choice)),
                str(rng.choice(colour_choice)),
                x,
                y,
                r,
                float(rng.uniform(-0.25, 0.25)),
                outlined,
                wobble,
            )
        )
    return Scene(background, _seed(rng), _aspect(rng), shapes=tuple(shapes))


def _free_place(rng: np.random.Generator, shapes: list[Shape], radius: float) -> tuple[float, float, float] | None:
    for _ in range(12):
        x, y = (float(v) for v in rng.uniform(radius + 0.02, 0.98 - radius, 2))
        if all(math.hypot(x - s.x, y - s.y) > radius + s.radius + 0.015 for s in shapes):
            return x, y, radius
    return None


def _background(rng: np.random.Generator) -> tuple[Rgb, list[str]]:
    """A background and the colours that stand out from it."""
    if rng.random() < 0.3:
        ground: Rgb = (255, 255, 255)
    elif rng.random() < 0.75:
        ground = tuple(int(v) for v in rng.integers(218, 256, 3))
    else:
        ground = tuple(int(v) for v in rng.integers(0, 48, 3))
    return ground, [c for c, rgb in COLOURS.items() if _contrast(rgb, ground) > 110]


def _contrast(a: Rgb, b: Rgb) -> float:
    return math.dist(a, b)


def _aspect(rng: np.random.Generator) -> float:
    """Width by height of the canvas before it is squeezed into a square: user's pictures are not square."""
    return 1.0 if rng.random() < 0.5 else float(rng.uniform(0.75, 1.33))


def _seed(rng: np.random.Generator) -> int:
    return int(rng.integers(0, 2**31))
