"""Intervals against published values, and the README's table against the results."""

import json
from pathlib import Path

import pytest

from models.demo.intervals import difference, wilson
from models.demo.report import BEGIN, END, README, RESULTS, accuracy_tables


def test_wilson_matches_newcombe_1998() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 857-872, table I: 81 of 263
    score = wilson(81, 263)
    assert (score.low, score.high) == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_difference_matches_newcombe_1998() -> None:
    # Newcombe, Statistics in Medicine 17 (1998) 873-890, table II, method 10: 56/70 - 48/80
    gap, low, high = difference(wilson(56, 70), wilson(48, 80))
    assert (gap, low, high) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)


def test_readme_holds_the_results() -> None:
    results, exported = (json.loads((RESULTS / f"{name}.json").read_text()) for name in ("training", "exported"))
    text = Path(README).read_text()
    table = text[text.index(BEGIN) + len(BEGIN) : text.index(END)].strip()
    assert table == accuracy_tables(results, exported)


def test_adapters_matter_and_so_do_their_gains() -> None:
    accuracy = json.loads((RESULTS / "training.json").read_text())["accuracy"]
    assert accuracy["base"]["plain"]["share"] > 0.9
    for name in ("reading", "counting"):
        trained = accuracy[name][name]
        assert trained["asked"] >= 500
        assert trained["share"] - accuracy["base"][name]["share"] >= 0.25
        assert trained["share"] - accuracy[f"{name}, g = 1"][name]["share"] >= 0.05
    differences = json.loads((RESULTS / "exported.json").read_text())["differences"]
    for name in ("reading", "counting"):
        assert differences[f"{name} over base"]["low"] >= 25
        assert differences[f"{name} over {name}, g = 1"]["points"] >= 5
