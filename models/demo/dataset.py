"""Pools of drawn pictures with tokenized questions, made by all cores and kept in memory-mapped arrays.

The split is part of every seed, so that no picture of one split is drawn in another.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np

from .draw import SIDE, draw
from .questions import Question, Task, ask_all, teaches
from .scenes import Scene, bar_chart, crowd, number_display, simple_shapes

Split = Literal["train", "held-out", "recorded"]
SPLIT_SEEDS: dict[Split, int] = {"train": 11, "held-out": 12, "recorded": 13}
FAMILIES: dict[str, Callable[[np.random.Generator], Scene]] = {
    "simple": simple_shapes,
    "crowd": crowd,
    "number": number_display,
    "bars": bar_chart,
}
FAMILY_SEEDS = {name: i for i, name in enumerate(FAMILIES)}
MAX_TEXT = 48
"""Tokens kept for question and answer together; the few longer ones are left out of training."""

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class Example:
    """One picture's scene and the questions about it."""

    scene: Scene
    questions: list[Question]


def example(split: Split, family: str, index: int) -> Example:
    """The `index`-th scene of a family in a split; always the same one."""
    rng = np.random.default_rng([SPLIT_SEEDS[split], FAMILY_SEEDS[family], index])
    scene = FAMILIES[family](rng)
    return Example(scene, ask_all(rng, scene))


@dataclass(frozen=True)
class Pool:
    """Pictures and the questions asked about them, as arrays.

    `pictures` uint8 [n, side, side, 3]; `texts` uint16 [q, MAX_TEXT], question then answer, padded with zeros;
    `answer_start` and `length` uint8 [q] bound the answer; `owner` uint32 [q] is the picture's row.
    """

    pictures: np.ndarray
    texts: np.ndarray
    answer_start: np.ndarray
    length: np.ndarray
    owner: np.ndarray


@dataclass(frozen=True)
class PoolSpec:
    """What a pool holds: how many scenes of each family, and which task its questions teach."""

    split: Split
    scenes: dict[str, int]
    task: Task
    questions_per_scene: int = 6


def build_pool(
    spec: PoolSpec, encode_question: Encode, encode_answer: Encode, scratch: Path, workers: int | None = None
) -> Pool:
    """Draws a pool in parallel; pictures go through a memory-mapped file under `scratch`."""
    jobs = [(family, i) for family, n in spec.scenes.items() for i in range(n)]
    scratch.mkdir(parents=True, exist_ok=True)
    path = scratch / f"pictures-{os.getpid()}-{len(jobs)}.u8"
    np.memmap(path, np.uint8, "w+", shape=(len(jobs), SIDE, SIDE, 3)).flush()
    size = 500
    chunks = [(start, jobs[start : start + size]) for start in range(0, len(jobs), size)]
    work = partial(_fill_chunk, spec, str(path), len(jobs))
    rows: list[tuple[list[int], int, int]] = []
    with ProcessPoolExecutor(workers or os.cpu_count()) as pool:
        for chunk in pool.map(work, chunks):
            for owner, question, answer in chunk:
                q, a = encode_question(question), encode_answer(answer)
                if len(q) + len(a) <= MAX_TEXT:
                    rows.append((q + a, len(q), owner))
    texts = np.zeros((len(rows), MAX_TEXT), np.uint16)
    for i, (ids, _, _) in enumerate(rows):
        texts[i, : len(ids)] = ids
    pictures = np.memmap(path, np.uint8, "r", shape=(len(jobs), SIDE, SIDE, 3))
    return Pool(
        pictures,
        texts,
        np.array([r[1] for r in rows], np.uint8),
        np.array([len(r[0]) for r in rows], np.uint8),
        np.array([r[2] for r in rows], np.uint32),
    )


def held_out(task: Task, count: int, split: Split = "held-out") -> list[tuple[Example, Question]]:
    """`count` held-out pictures with one question of the task each; answers of a task are evenly spread.

    Plain questions take the four families in turn and, within a scene, the first question in its random order.
    Counting asks for every number from one to nine equally often, reading for one to four digits likewise, so that
    the answers within the base's reach are in the test too.
    """
    picked: list[tuple[Example, Question]] = []
    index = 0
    wanted = {"plain": tuple(FAMILIES), "reading": ("number",), "counting": ("crowd",)}[task]
    while len(picked) < count:
        family = wanted[index % len(wanted)]
        found = example(split, family, index)
        index += 1
        question = next((q for q in found.questions if _tests(task, q, len(picked))), None)
        if question:
            picked.append((found, question))
    return picked


def _tests(task: Task, question: Question, turn: int) -> bool:
    if not teaches(task, question):
        return False
    if task == "reading":
        return len(question.answer) == 1 + turn % 4
    return task == "plain" or question.answer == str(1 + turn % 9)


def _fill_chunk(
    spec: PoolSpec, path: str, total: int, chunk: tuple[int, list[tuple[str, int]]]
) -> list[tuple[int, str, str]]:
    start, jobs = chunk
    pictures = np.memmap(path, np.uint8, "r+", shape=(total, SIDE, SIDE, 3))
    asked: list[tuple[int, str, str]] = []
    for offset, (family, index) in enumerate(jobs):
        found = example(spec.split, family, index)
        pictures[start + offset] = np.asarray(draw(found.scene))
        kept = [q for q in found.questions if teaches(spec.task, q)][: spec.questions_per_scene]
        asked += [(start + offset, q.text, q.answer) for q in kept]
    return asked
