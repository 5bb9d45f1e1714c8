"""The generator: the same pictures every time, right answers, splits that share nothing."""

import numpy as np
import pytest

from models.demo.dataset import FAMILIES, example, held_out
from models.demo.draw import SIDE, draw
from models.demo.questions import PHRASES, plural, teaches
from models.demo.scenes import COLOURS


@pytest.mark.parametrize("family", FAMILIES)
def test_same_seed_same_picture_and_questions(family: str) -> None:
    first, second = example("train", family, 7), example("train", family, 7)
    assert first == second
    assert np.array_equal(np.asarray(draw(first.scene)), np.asarray(draw(second.scene)))


@pytest.mark.parametrize("family", FAMILIES)
def test_splits_and_indices_differ(family: str) -> None:
    scenes = [example(split, family, i).scene for split in ("train", "held-out", "recorded") for i in range(50)]
    assert len(set(scenes)) == len(scenes)


def test_counts_are_those_of_the_scene() -> None:
    asked = 0
    for i in range(200):
        found = example("train", "crowd", i)
        shapes = found.scene.shapes
        for question in found.questions:
            text = question.text.lower().replace("color", "colour")
            named = [s for s in shapes if plural(s.kind) in text or f"{s.colour} shapes" in text]
            coloured = [s for s in shapes if f"shapes are {s.colour}" in text]
            if question.topic == "count-all":
                assert int(question.answer) == len(shapes)
            elif question.topic.startswith("count"):
                assert int(question.answer) == len(named or coloured)
                asked += 1
    assert asked > 200


def test_filled_shapes_have_their_colour_and_stay_inside() -> None:
    checked = 0
    for i in range(200):
        scene = example("train", "simple", i).scene
        picture = np.asarray(draw(scene)).astype(int)
        assert picture.shape == (SIDE, SIDE, 3)
        for shape in scene.shapes:
            if not shape.outlined and shape.kind in ("circle", "square", "diamond", "cross"):
                pixel = picture[int(shape.y * SIDE), int(shape.x * SIDE)]
                assert np.abs(pixel - COLOURS[shape.colour]).max() <= 15
                checked += 1
        if any(shape.wobble or shape.outlined for shape in scene.shapes):
            continue  # an unsteady hand or a thick line may just reach the edge
        border = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        assert (border == scene.background).all()
    assert checked > 100


def test_shapes_do_not_touch() -> None:
    for i in range(200):
        shapes = example("train", "crowd", i).scene.shapes
        for a, b in ((a, b) for a in shapes for b in shapes if a is not b):
            assert np.hypot(a.x - b.x, a.y - b.y) > a.radius + b.radius


def test_the_base_never_sees_what_the_adapters_teach() -> None:
    for family in FAMILIES:
        for i in range(100):
            for question in example("train", family, i).questions:
                if teaches("plain", question) and question.topic.startswith("count"):
                    assert int(question.answer) <= 3
                if teaches("plain", question) and question.topic == "read":
                    assert len(question.answer) == 1


def test_every_topic_occurs() -> None:
    seen = {q.topic for family in FAMILIES for i in range(400) for q in example("train", family, i).questions}
    assert seen == set(PHRASES)


def test_held_out_answers_are_evenly_spread() -> None:
    counts = [question.answer for _, question in held_out("counting", 90)]
    assert {counts.count(str(n)) for n in range(1, 10)} == {10}
    lengths = [len(question.answer) for _, question in held_out("reading", 40)]
    assert {lengths.count(n) for n in range(1, 5)} == {10}
