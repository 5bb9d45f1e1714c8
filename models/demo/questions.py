"""Questions about a scene, with their answers.

Every question belongs to a task. The base model learns the plain tasks: colours, shapes, places, comparisons, single
digits, counts up to three. Reading longer numbers and counting further are left to the adapters.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from .scenes import COLOURS, Scene, Shape

Task = Literal["plain", "reading", "counting"]
BASE_COUNT_LIMIT = 3


@dataclass(frozen=True)
class Question:
    """A question, the task it tests, the kind of question it is, and the one right answer."""

    task: Task
    topic: str
    text: str
    answer: str


def ask_all(rng: np.random.Generator, scene: Scene) -> list[Question]:
    """Every question that the scene answers without doubt, each in one of its phrasings, in random order."""
    found = [Question(t, topic, _phrase(rng, topic, words), a) for t, topic, words, a in _facts(rng, scene)]
    return [found[i] for i in rng.permutation(len(found))]


def teaches(task: Task, question: Question) -> bool:
    """Whether the question belongs into the task's training pool.

    A task's pool also holds the easy cases that the base knows, so that an adapter does not unlearn them.
    """
    if task == "reading":
        return question.topic == "read"
    if task == "counting":
        return question.topic.startswith("count")
    return question.task == "plain"


def plural(kind: str) -> str:
    """The plural of a shape's name."""
    return "crosses" if kind == "cross" else f"{kind}s"


Fact = tuple[Task, str, dict[str, str], str]


def _facts(rng: np.random.Generator, scene: Scene) -> Iterator[Fact]:
    if scene.shapes:
        yield from _shape_facts(rng, scene.shapes)
    if scene.number:
        yield from _number_facts(scene)
    if scene.bars:
        yield from _bar_facts(rng, scene)


def _shape_facts(rng: np.random.Generator, shapes: tuple[Shape, ...]) -> Iterator[Fact]:
    kinds, colours = Counter(s.kind for s in shapes), Counter(s.colour for s in shapes)
    pairs = Counter((s.colour, s.kind) for s in shapes)
    yield _counted("count-all", {}, len(shapes))
    for kind, n in kinds.items():
        yield _counted("count-kind", {"kinds": plural(kind)}, n)
    for colour, n in colours.items():
        yield _counted("count-colour", {"colour": colour}, n)
    yield from _existence(rng, pairs)
    yield from _majorities(rng, kinds, colours)
    for s in shapes:
        if kinds[s.kind] == 1:
            yield "plain", "colour-of", {"kind": s.kind}, s.colour
            yield from _place("where-kind", {"kind": s.kind}, s)
        if colours[s.colour] == 1:
            yield "plain", "shape-of", {"colour": s.colour}, s.kind
            yield from _place("where-colour", {"colour": s.colour}, s)
    if len(shapes) == 1:
        yield "plain", "only-shape", {}, shapes[0].kind
        yield "plain", "only-colour", {}, shapes[0].colour
    if len(shapes) <= 3 and _spread(shapes):
        yield "plain", "describe", {}, _caption(shapes)
    if len(shapes) == 2:
        yield from _relations(rng, *shapes)
    yield from _sizes(shapes)


def _counted(topic: str, words: dict[str, str], n: int) -> Fact:
    """Counts within reach of the base are plain on purpose: it should know what a count is."""
    return ("plain" if n <= BASE_COUNT_LIMIT else "counting"), topic, words, str(n)


def _existence(rng: np.random.Generator, pairs: Counter) -> Iterator[Fact]:
    colour, kind = list(pairs)[int(rng.integers(len(pairs)))]
    yield "plain", "exists", {"colour": colour, "kind": kind}, "yes"
    others = sorted({(c, k) for c, _ in pairs for _, k in pairs} - set(pairs))
    if others and rng.random() < 0.8:
        colour, kind = others[int(rng.integers(len(others)))]
        yield "plain", "exists", {"colour": colour, "kind": kind}, "no"
    elif rng.random() < 0.6:
        absent = [c for c in COLOURS if (c, kind) not in pairs]
        yield "plain", "exists", {"colour": str(rng.choice(absent)), "kind": kind}, "no"


def _majorities(rng: np.random.Generator, kinds: Counter, colours: Counter) -> Iterator[Fact]:
    for counts, topic in ((kinds, "more-kind"), (colours, "more-colour")):
        if len(counts) >= 2:
            a, b = rng.choice(sorted(counts), 2, replace=False)
            if counts[a] != counts[b]:
                names = (plural(a), plural(b)) if topic == "more-kind" else (str(a), str(b))
                yield "plain", topic, {"a": names[0], "b": names[1]}, "yes" if counts[a] > counts[b] else "no"


def _place(topic: str, words: dict[str, str], shape: Shape) -> Iterator[Fact]:
    margin = 0.03
    if all(abs(v - edge) > margin for v in (shape.x, shape.y) for edge in (1 / 3, 2 / 3)):
        column = ("left", "", "right")[int(shape.x * 3)]
        row = ("top", "", "bottom")[int(shape.y * 3)]
        yield "plain", topic, words, f"{row} {column}".strip() or "middle"


def _relations(rng: np.random.Generator, a: Shape, b: Shape) -> Iterator[Fact]:
    if a.kind == b.kind:
        return
    for gap, near, far in ((a.x - b.x, "left of", "right of"), (a.y - b.y, "above", "below")):
        if abs(gap) > 0.15:
            first, second = (a, b) if gap < 0 else (b, a)
            yield "plain", "what-is", {"side": near, "kind": second.kind}, first.kind
            yield "plain", "what-is", {"side": far, "kind": first.kind}, second.kind
            side = near if rng.random() < 0.5 else far
            answer = "yes" if side == near else "no"
            yield "plain", "is-side", {"a": first.kind, "side": side, "b": second.kind}, answer


def _sizes(shapes: tuple[Shape, ...]) -> Iterator[Fact]:
    if len(shapes) < 2:
        return
    ordered = sorted(shapes, key=lambda s: s.radius)
    if ordered[-1].radius > 1.3 * ordered[-2].radius:
        yield "plain", "biggest", {}, ordered[-1].kind
    if ordered[0].radius * 1.3 < ordered[1].radius:
        yield "plain", "smallest", {}, ordered[0].kind


def _spread(shapes: tuple[Shape, ...]) -> bool:
    xs = sorted(s.x for s in shapes)
    return all(b - a > 0.06 for a, b in pairwise(xs))


def _caption(shapes: tuple[Shape, ...]) -> str:
    """The shapes from left to right."""
    names = [f"{_article(s.colour)} {s.colour} {s.kind}" for s in sorted(shapes, key=lambda s: s.x)]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"


def _number_facts(scene: Scene) -> Iterator[Fact]:
    n = scene.number
    assert n is not None
    yield ("plain" if len(n.digits) == 1 else "reading"), "read", {}, n.digits
    yield "plain", "number-colour", {}, n.colour
    if n.panel:
        yield "plain", "panel-colour", {}, n.panel
    on = f" on {_article(n.panel)} {n.panel} panel" if n.panel else ""
    yield "plain", "describe", {}, f"{_article(n.colour)} {n.colour} number{on}"
    if len(n.digits) > 1:
        for topic, digit in zip(("first-digit", "second-digit", "third-digit"), n.digits, strict=False):
            yield "plain", topic, {}, digit
        yield "plain", "last-digit", {}, n.digits[-1]
        for digit in sorted(set(n.digits))[:1]:
            yield "plain", "has-digit", {"digit": digit}, "yes"
        missing = [d for d in "0123456789" if d not in n.digits]
        yield "plain", "has-digit", {"digit": missing[scene.seed % len(missing)]}, "no"


def _bar_facts(rng: np.random.Generator, scene: Scene) -> Iterator[Fact]:
    bars = scene.bars
    ordered = sorted(bars, key=lambda b: b.value)
    yield _counted("count-bars", {}, len(bars))
    yield "plain", "first-bar", {}, bars[0].colour
    yield "plain", "last-bar", {}, bars[-1].colour
    if ordered[-1].value - ordered[-2].value > 0.07:
        yield "plain", "tallest", {}, ordered[-1].colour
    if ordered[1].value - ordered[0].value > 0.07:
        yield "plain", "shortest", {}, ordered[0].colour
    i, j = rng.choice(len(bars), 2, replace=False)
    a, b = bars[i], bars[j]
    if abs(a.value - b.value) > 0.1:
        yield "plain", "taller", {"a": a.colour, "b": b.colour}, "yes" if a.value > b.value else "no"
    if len(bars) <= 3:
        names = [b.colour for b in bars]
        yield "plain", "describe", {}, f"a bar chart with {', '.join(names[:-1])} and {names[-1]} bars"


def _phrase(rng: np.random.Generator, topic: str, words: dict[str, str]) -> str:
    choices = PHRASES[topic]
    text = choices[int(rng.integers(len(choices)))].format(**words)
    if rng.random() < 0.2:
        text = text.replace("colour", "color")
    if rng.random() < 0.2:
        text = text.replace("picture", "image")
    if rng.random() < 0.1:
        text = text[0].lower() + text[1:]
    return text[:-1] if rng.random() < 0.08 else text


PHRASES: dict[str, tuple[str, ...]] = {
    "count-all": (
        "How many shapes are there?",
        "How many shapes do you see?",
        "Count the shapes.",
        "How many shapes are in the picture?",
        "How many objects are there?",
    ),
    "count-kind": (
        "How many {kinds} are there?",
        "How many {kinds} do you see?",
        "Count the {kinds}.",
        "How many {kinds} are in the picture?",
    ),
    "count-colour": (
        "How many {colour} shapes are there?",
        "How many shapes are {colour}?",
        "Count the {colour} shapes.",
    ),
    "count-bars": ("How many bars are there?", "Count the bars.", "How many bars are in the chart?"),
    "exists": (
        "Is there a {colour} {kind}?",
        "Do you see a {colour} {kind}?",
        "Is there any {colour} {kind}?",
    ),
    "more-kind": ("Are there more {a} than {b}?", "Do you see more {a} than {b}?"),
    "more-colour": ("Are there more {a} shapes than {b} shapes?", "Are more shapes {a} than {b}?"),
    "colour-of": (
        "What colour is the {kind}?",
        "Which colour is the {kind}?",
        "What is the colour of the {kind}?",
    ),
    "shape-of": ("What shape is {colour}?", "Which shape is {colour}?", "What is the {colour} shape?"),
    "only-shape": ("What shape is this?", "Which shape is in the picture?", "What is in the picture?"),
    "only-colour": ("What colour is the shape?", "Which colour is it?", "What colour is this?"),
    "where-kind": (
        "Where is the {kind}?",
        "Where do you see the {kind}?",
        "Where in the picture is the {kind}?",
    ),
    "where-colour": ("Where is the {colour} shape?", "Where do you see the {colour} shape?"),
    "describe": (
        "Describe the picture.",
        "What do you see?",
        "Describe this picture.",
        "What does the picture show?",
    ),
    "what-is": ("What is {side} the {kind}?", "Which shape is {side} the {kind}?"),
    "is-side": ("Is the {a} {side} the {b}?",),
    "biggest": ("Which shape is the biggest?", "What is the biggest shape?", "Which shape is the largest?"),
    "smallest": ("Which shape is the smallest?", "What is the smallest shape?"),
    "read": (
        "What number is shown?",
        "What number is this?",
        "Read the number.",
        "Which number do you see?",
        "What does the display say?",
    ),
    "number-colour": ("What colour is the number?", "Which colour is the number?"),
    "panel-colour": ("What colour is the panel?", "Which colour is the panel?"),
    "first-digit": ("What is the first digit?", "Which digit is the first?"),
    "second-digit": ("What is the second digit?", "Which digit is the second?"),
    "third-digit": ("What is the third digit?", "Which digit is the third?"),
    "last-digit": ("What is the last digit?", "Which digit is the last?"),
    "has-digit": ("Is there a {digit} in the number?", "Does the number have a {digit}?"),
    "first-bar": ("What colour is the first bar?", "Which colour is the bar on the left?"),
    "last-bar": ("What colour is the last bar?", "Which colour is the bar on the right?"),
    "tallest": ("What colour is the tallest bar?", "Which bar is the tallest?", "Which bar is the highest?"),
    "shortest": (
        "What colour is the shortest bar?",
        "Which bar is the shortest?",
        "Which bar is the lowest?",
    ),
    "taller": ("Is the {a} bar taller than the {b} bar?", "Is the {a} bar higher than the {b} bar?"),
}
