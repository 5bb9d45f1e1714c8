"""The committed export: its size, its shared weights, and its answers in onnxruntime. Needs no PyTorch."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.demo.dataset import held_out
from models.demo.draw import draw

DEMO = Path(__file__).parents[1] / "fixtures" / "demo"
RECORDS = json.loads((DEMO / "recorded" / "questions.json").read_text())
CONFIG = json.loads((DEMO / "config.json").read_text())


def test_onnx_files_fit_the_budget() -> None:
    assert sum(path.stat().st_size for path in (DEMO / "onnx").iterdir()) <= 24_000_000


def test_decoders_and_embedding_share_the_base_weights() -> None:
    onnx = pytest.importorskip("onnx")
    places: dict[str, set[tuple[str, ...]]] = {}
    for name in ("decoder_model_merged", "decoder_model_merged_reading", "embed_tokens"):
        model = onnx.load(DEMO / "onnx" / f"{name}.onnx", load_external_data=False)
        tensors = [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
        places[name] = {tuple(entry.value for entry in t.external_data) for t in tensors}
    assert places["decoder_model_merged"] == places["decoder_model_merged_reading"]
    assert places["embed_tokens"] < places["decoder_model_merged"]


def test_records_are_enough_and_all_tasks_occur() -> None:
    assert len(RECORDS) >= 200
    assert {record["task"] for record in RECORDS} == {"plain", "reading", "counting"}


def test_recorded_pictures_are_the_generators() -> None:
    items = held_out("plain", 3, "recorded")
    for record, (found, question) in zip(RECORDS, items, strict=False):
        assert (record["question"], record["answer"]) == (question.text, question.answer)
        picture = np.asarray(Image.open(DEMO / "recorded" / record["picture"]))
        # edges of polygons and glyphs may move by a shade between Pillow's versions
        assert np.abs(picture.astype(int) - np.asarray(draw(found.scene)).astype(int)).mean() < 0.5


@pytest.mark.parametrize("variant", ["base", "reading"])
def test_onnxruntime_gives_the_recorded_tokens(variant: str) -> None:
    pytest.importorskip("onnxruntime")
    from models.demo.generate import DECODERS, Exported, generate

    model = Exported.open(DEMO, DECODERS[variant])
    for record in RECORDS[::12]:
        picture = np.asarray(Image.open(DEMO / "recorded" / record["picture"]).convert("RGB"), np.float32)
        pixels = (picture / 255 - 0.5).transpose(2, 0, 1) / 0.5
        ends = (CONFIG["image_token_id"], CONFIG["eos_token_id"])
        tokens = generate(model, record["input_ids"], pixels, *ends, longest=32)
        assert tokens == record["tokens"][variant] or record["gap"][variant] < 1e-4
