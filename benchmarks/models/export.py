"""Qwen3-8B's text shape with DoRA of rank 384 on all 252 linear layers, as graphs for ONNX Runtime's CUDA provider.

python -m benchmarks.models.export OUT          model.onnx: PEFT's layers as they are exported; weights.json
ort-dora rewrite OUT/model.onnx OUT/rewritten.onnx --scale runtime
python -m benchmarks.models.variants OUT        the graphs to compare, all over one data file

PEFT and the exporter run on the meta device. The data file is without content, and is written where it is used
(weights.py): weights.json says what lies where in it.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import onnx_ir as ir
import torch

from models.export.cuda_decoder import to_graph
from models.export.graph import strip_metadata

from .meta_model import adapted
from .shape import CONFIG, RANK, SCALING

LONGEST = 8192
DATA = "weights.bin"
EXTERNAL_FROM = 1024
ALIGNMENT = 4096


def export(out: Path) -> None:
    """Writes the graph and the list of its weights."""
    graph = to_graph(adapted(CONFIG, RANK, SCALING), LONGEST)
    out.mkdir(parents=True, exist_ok=True)
    weights, size = place_weights(graph)
    (out / "weights.json").write_text(json.dumps(weights, indent=0))
    with (out / DATA).open("wb") as file:
        file.truncate(size)
    proto = ir.to_proto(graph)
    strip_metadata(proto, keep_scopes=True)
    (out / "model.onnx").write_bytes(proto.SerializeToString(deterministic=True))


def place_weights(graph: ir.Model) -> tuple[list[dict[str, object]], int]:
    """Gives every large initializer its place in the data file, and says how long that is; small ones become ones."""
    offset = 0
    placed: list[dict[str, object]] = []
    for name, value in graph.graph.initializers.items():
        tensor = value.const_value
        if tensor.nbytes < EXTERNAL_FROM:
            if is_meta(tensor):
                content = np.ones(tensor.shape.numpy()).astype(tensor.dtype.numpy())
                value.const_value = ir.Tensor(content, dtype=tensor.dtype, name=name)
            continue
        if not is_meta(tensor):
            continue  # the rotation, which stays in the graph
        offset += -offset % ALIGNMENT
        placed.append(
            {
                "name": name,
                "type": tensor.dtype.name,
                "dims": list(tensor.shape.numpy()),
                "offset": offset,
            }
        )
        value.const_value = ir.ExternalTensor(DATA, offset, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=name)
        offset += tensor.nbytes
    return placed, offset


def is_meta(tensor: object) -> bool:
    """Whether a tensor has a shape and no data."""
    return isinstance(raw := getattr(tensor, "raw", None), torch.Tensor) and raw.is_meta


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    export(parser.parse_args().out)
