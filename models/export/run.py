"""From a model folder and an adapter to a folder of graphs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from peft import PeftModel
from transformers import AutoModelForImageTextToText, PreTrainedModel

from .families import family_of
from .graph import GraphOptions, export_graph
from .layout import write_layout
from .weights import WeightFolder

DTYPES = {"fp32": torch.float32, "fp16": torch.float16}


@dataclass(frozen=True)
class ExportRequest:
    """What to export; `only` empty means every part of the family."""

    model: Path
    out: Path
    adapter: Path | None = None
    graph: GraphOptions = field(default_factory=GraphOptions)
    dtype: Literal["fp32", "fp16"] = "fp32"
    only: frozenset[str] = frozenset()
    suffix: str = ""


def export(request: ExportRequest) -> list[Path]:
    """Writes the graphs and, unless only some parts were asked for, the files beside them. Returns the graphs' paths.

    Weights that a graph already in the folder stores are not stored again. The decoder goes first, so that it owns the
    weights that it shares with the embedding.
    """
    dtype = DTYPES[request.dtype]
    model = load(request.model, request.adapter).to(dtype)
    folder = request.out / "onnx"
    weights = WeightFolder(folder)
    parts = [p for p in family_of(model.config.model_type)(model, dtype) if p.name in request.only or not request.only]
    if unknown := request.only - {p.name for p in parts}:
        raise ValueError(f"{request.model}: no part named {', '.join(sorted(unknown))}")
    own = {f"{p.name}{request.suffix}.onnx" for p in parts}
    for graph in sorted(folder.glob("*.onnx")):
        if graph.name not in own:
            weights.learn(graph)
    for part in sorted(parts, key=lambda p: p.name):
        weights.save(export_graph(part, request.graph), f"{part.name}{request.suffix}.onnx")
    if not request.only:
        write_layout(model, request.model, request.out)
    return [folder / name for name in sorted(own)]


def load(folder: Path, adapter: Path | None = None) -> PreTrainedModel:
    """The model in eval mode and float32; with an adapter, its layers are replaced in place, so names stay."""
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
    if adapter is not None:
        model = PeftModel.from_pretrained(model, adapter).get_base_model()
    return model.eval().requires_grad_(False)
