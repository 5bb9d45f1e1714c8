"""95 % intervals of proportions and of their differences."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z = 1.959964


@dataclass(frozen=True)
class Accuracy:
    """`right` of `asked` exact answers; `low` and `high` bound the 95 % Wilson interval."""

    right: int
    asked: int
    share: float
    low: float
    high: float


def wilson(right: int, asked: int) -> Accuracy:
    """The score interval of a proportion (Wilson 1927)."""
    share = right / asked
    centre = share + Z * Z / (2 * asked)
    spread = Z * math.sqrt(share * (1 - share) / asked + Z * Z / (4 * asked * asked))
    scale = 1 + Z * Z / asked
    return Accuracy(right, asked, share, (centre - spread) / scale, (centre + spread) / scale)


def difference(a: Accuracy, b: Accuracy) -> tuple[float, float, float]:
    """a - b and its bounds: Newcombe's interval (1998, method 10) of independent proportions.

    Where both were asked the same questions, the true interval is narrower.
    """
    gap = a.share - b.share
    low = gap - math.hypot(a.share - a.low, b.high - b.share)
    high = gap + math.hypot(a.high - a.share, b.share - b.low)
    return gap, low, high
