"""The README's table and the curves from the results: `python -m models.demo.report`.

Reads results/training.json (PyTorch, where the model was trained) and results/exported.json (the exported graphs in
onnxruntime); rewrites the part of models/README.md between its markers and results/curves.svg.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from .intervals import Accuracy, difference, wilson

RESULTS = Path(__file__).parent / "results"
README = Path(__file__).parents[1] / "README.md"
BEGIN, END = "<!-- accuracy: begin -->", "<!-- accuracy: end -->"
TASKS = ("plain", "reading", "counting")
WIDTH, HEIGHT, MARGIN = 760, 300, 44
COLOURS = ("#1f6feb", "#8250df", "#bf3989", "#1a7f37", "#9a6700")


def main() -> None:
    """Writes both."""
    results, exported = (json.loads((RESULTS / f"{name}.json").read_text()) for name in ("training", "exported"))
    text = README.read_text()
    start, stop = text.index(BEGIN) + len(BEGIN), text.index(END)
    README.write_text(f"{text[:start]}\n{accuracy_tables(results, exported)}\n{text[stop:]}")
    (RESULTS / "curves.svg").write_text(curves(results["curves"]))


def accuracy_tables(results: dict[str, Any], exported: dict[str, Any]) -> str:
    """Accuracies with Wilson intervals, then the differences that the adapters are for.

    PyTorch's differences have Newcombe's intervals, the exported graphs' those of a paired bootstrap.
    """
    accuracy = results["accuracy"]
    shares = [
        [model, *(_share(tasks[task]) if task in tasks else "" for task in TASKS)] for model, tasks in accuracy.items()
    ]
    differences = []
    for name in ("reading", "counting"):
        for other in ("base", f"{name}, g = 1"):
            gap, low, high = difference(_accuracy(accuracy[name][name]), _accuracy(accuracy[other][name]))
            paired = exported["differences"][f"{name} over {other}"]
            differences.append(
                [f"{name} over {other}", _points(gap * 100, low * 100, high * 100), _points(*paired.values())]
            )
    header = ["points on the adapter's task (95 %)", "PyTorch", f"exported, {exported['questions']} questions"]
    lines = [*_table(["model", *TASKS], shares), "", *_table(header, differences)]
    topics = accuracy["base"]["plain"]["by_topic"].items()
    weak = sorted((right / asked, name) for name, (right, asked) in topics if right < 0.85 * asked)
    machine = results["machine"]
    trained = sum(v for k, v in results["seconds"].items() if k.startswith("training"))
    asked = accuracy["base"]["plain"]["asked"]
    lines += [
        "",
        f"{asked} held-out pictures a task, exact match of greedy answers. {machine['device']}, "
        f"torch {machine['torch']}, transformers {machine['transformers']}, PEFT {machine['peft']}; "
        f"{trained / 60:.1f} minutes of training:",
        "",
        *(f"    {command}" for command in results["commands"]),
        "",
        f"Plain questions that the base answers worst: {', '.join(f'{n} {s * 100:.0f} %' for s, n in weak)}.",
    ]
    return "\n".join(lines)


def curves(runs: dict[str, dict[str, list[float]]]) -> str:
    """Loss over seconds, one line a run, as an SVG picture; the loss on a logarithmic axis."""
    longest = max(run["seconds"][-1] for run in runs.values())
    top, bottom = math.log(8), math.log(0.05)

    def place(seconds: float, loss: float) -> str:
        x = MARGIN + (WIDTH - 2 * MARGIN) * seconds / longest
        y = MARGIN + (HEIGHT - 2 * MARGIN) * (top - math.log(loss)) / (top - bottom)
        return f"{x:.1f},{y:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        "<title>Training loss over seconds</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
    ]
    for loss in (2, 1, 0.5, 0.2, 0.1):
        x, y = place(0, loss).split(",")
        right = WIDTH - MARGIN
        parts.append(
            f'<line x1="{x}" x2="{right}" y1="{y}" y2="{y}" stroke="#d0d7de"/><text x="8" y="{y}">{loss}</text>'
        )
    for seconds in range(0, int(longest) + 1, 60):
        x = place(seconds, 1).split(",")[0]
        parts.append(f'<text x="{x}" y="{HEIGHT - 16}">{seconds} s</text>')
    for i, (name, run) in enumerate(runs.items()):
        points = " ".join(place(s, v) for s, v in zip(run["seconds"], run["loss"], strict=True))
        colour = COLOURS[i % len(COLOURS)]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        parts.append(f'<text x="{MARGIN + 150 * i}" y="22" fill="{colour}">{name}: loss</text>')
    return "\n".join([*parts, "</svg>", ""])


def _table(header: list[str], rows: list[list[str]]) -> list[str]:
    """A Markdown table with its columns aligned."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    ruled = [header, ["-" * width for width in widths], *rows]
    cells = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in ruled]
    return [f"| {' | '.join(row)} |" for row in cells]


def _points(points: float, low: float, high: float) -> str:
    return f"{points:+.1f} ({low:+.1f} to {high:+.1f})"


def _accuracy(score: dict[str, int]) -> Accuracy:
    return wilson(score["right"], score["asked"])


def _share(score: dict[str, float]) -> str:
    return f"{score['share'] * 100:.1f} % ({score['low'] * 100:.1f} to {score['high'] * 100:.1f})"


if __name__ == "__main__":
    main()
