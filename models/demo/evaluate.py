"""Measures the exported demo in onnxruntime: `python -m models.demo.evaluate FOLDER`.

Every decoder is exported from FOLDER: the base, each adapter, and each adapter with its gains replaced by one. All
answer the same held-out questions, so the differences have paired intervals. Writes results/exported.json.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import save_file
from transformers import AutoProcessor, AutoTokenizer

from ..export.restore import restore
from ..export.run import ExportRequest, export
from .dataset import held_out
from .draw import draw
from .evaluation import GainReplacedByOne
from .generate import Exported, generate
from .intervals import wilson
from .model import ADAPTERS
from .questions import Task
from .record import LONGEST
from .report import RESULTS
from .tokenizer import prompt_prefix, question_ids

DECODER = "decoder_model_merged"
RESAMPLES = 10_000


def main() -> None:
    """Exports, asks, and writes accuracies and paired differences."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--questions", type=int, default=1000)
    options = parser.parse_args()
    right: dict[str, dict[str, np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        asked = _export_variants(options.folder, Path(scratch))
        for variant, tasks in asked.items():
            model = Exported.open(Path(scratch) / "export", f"{DECODER}{_suffix(variant)}")
            right[variant] = {task: _right(model, options.folder, task, options.questions) for task in tasks}
            print(variant, {task: round(float(bits.mean()), 4) for task, bits in right[variant].items()}, flush=True)
    differences = {
        f"{name} over {other}": _difference(right[name][name], right[other][name])
        for name in ADAPTERS
        for other in ("base", f"{name}, g = 1")
    }
    accuracy = {v: {t: asdict(wilson(int(b.sum()), len(b))) for t, b in tasks.items()} for v, tasks in right.items()}
    report = {"questions": options.questions, "accuracy": accuracy, "differences": differences}
    (RESULTS / "exported.json").write_text(json.dumps(report, indent=1) + "\n")


def _export_variants(folder: Path, scratch: Path) -> dict[str, tuple[Task, ...]]:
    """Exports every decoder into scratch/export; returns the variants with the tasks to ask each."""
    model, out = scratch / "model", scratch / "export"
    restore(folder).save_pretrained(model)
    AutoProcessor.from_pretrained(folder).save_pretrained(model)
    export(ExportRequest(model, out))
    asked: dict[str, tuple[Task, ...]] = {"base": ("plain", *ADAPTERS)}
    for name in ADAPTERS:
        trained = folder / "adapters" / name
        plain = scratch / f"{name}-g1"
        _save_with_gains_of_one(folder, trained, plain)
        for variant, adapter in ((name, trained), (f"{name}, g = 1", plain)):
            export(ExportRequest(model, out, adapter, only=frozenset({DECODER}), suffix=_suffix(variant)))
            asked[variant] = (name,)
    return asked


def _save_with_gains_of_one(base: Path, adapter: Path, out: Path) -> None:
    wrapped = PeftModel.from_pretrained(restore(base), adapter)
    with GainReplacedByOne(wrapped, "default"), torch.no_grad():
        weights = {name: value.contiguous() for name, value in get_peft_model_state_dict(wrapped).items()}
    out.mkdir()
    save_file(weights, out / "adapter_model.safetensors")
    (out / "adapter_config.json").write_bytes((adapter / "adapter_config.json").read_bytes())


def _suffix(variant: str) -> str:
    return "" if variant == "base" else "_" + variant.replace(", g = 1", "_g1")


def _right(model: Exported, folder: Path, task: Task, count: int) -> np.ndarray:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prefix, image_token = prompt_prefix(tokenizer), tokenizer.convert_tokens_to_ids("<image>")
    found = []
    for example, question in held_out(task, count):
        pixels = np.asarray(draw(example.scene), np.float32).transpose(2, 0, 1) / 127.5 - 1
        ids = prefix + question_ids(tokenizer, question.text)
        tokens = generate(model, ids, pixels, image_token, tokenizer.eos_token_id, LONGEST)
        found.append(tokenizer.decode(tokens[:-1]) == question.answer)
    return np.array(found)


def _difference(a: np.ndarray, b: np.ndarray) -> dict[str, float]:
    """Points of a over b on the same questions, with the 95 % percentile interval of a paired bootstrap."""
    gain = (a.astype(float) - b.astype(float)) * 100
    picks = np.random.default_rng(0).integers(0, len(gain), (RESAMPLES, len(gain)))
    low, high = np.percentile(gain[picks].mean(1), (2.5, 97.5))
    return {"points": float(gain.mean()), "low": float(low), "high": float(high)}


if __name__ == "__main__":
    main()
