"""Real exports of DoRA-adapted decoders, made without holding their weights: `python -m benchmarks.large.export`.

PEFT and PyTorch's exporter run on the meta device, where tensors have shapes and no data; the data file is written
afterwards, tensor by tensor, or left sparse where only the graph matters.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from peft import LoraConfig, get_peft_model
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from models.export.families.language_model import BATCH, BOTH, PAST, TOTAL, CacheLayout
from models.export.graph import strip_metadata

EXTERNAL_FROM = 1024
"""Initializers of at least this many bytes lie in the data file."""
ALIGNMENT = 4096
STANDARD_DEVIATION = 0.02


@dataclass(frozen=True)
class Shape:
    """What to export. `sparse`: leave the data file without content; it then takes no space on disk."""

    config: dict[str, Any]
    dtype: torch.dtype
    rank: int
    sparse: bool


QWEN3_32B = {
    "vocab_size": 151_936,
    "hidden_size": 5120,
    "intermediate_size": 25_600,
    "num_hidden_layers": 64,
    "num_attention_heads": 64,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
FOUR_LAYERS = {**QWEN3_32B, "vocab_size": 1024, "num_hidden_layers": 4}

SHAPES = {
    "32b": Shape(QWEN3_32B, torch.bfloat16, 384, sparse=True),
    "32b-part": Shape(FOUR_LAYERS, torch.bfloat16, 384, sparse=False),
    "32b-part-rank-16": Shape(FOUR_LAYERS, torch.bfloat16, 16, sparse=False),
    "24-layer": Shape(
        {
            "vocab_size": 8192,
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 64,
        },
        torch.float32,
        16,
        sparse=False,
    ),
}
"""
`32b` is Qwen3-32B with every linear layer of the decoder adapted: 448 modules, 77 GB of external data. Its parts are four of
its layers with values: 28 modules, 4.7 GB at rank 384.
"""


class Decoder(nn.Module):
    """Embeddings [batch, sequence, hidden], mask, positions and the KV cache in; logits and the longer cache out."""

    def __init__(self, base: nn.Module, layout: CacheLayout) -> None:
        super().__init__()
        self.layout = layout
        self.model = base.model
        self.lm_head = base.lm_head

    def forward(
        self, inputs_embeds: Tensor, attention_mask: Tensor, position_ids: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        """`past` is the cache's tensors as `layout` orders them."""
        result = self.model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=self.layout.cache(past),
            use_cache=True,
        )
        return self.lm_head(result.last_hidden_state), *self.layout.present(result.past_key_values)


def export(shape: Shape, out: Path) -> None:
    """Writes `model.onnx` with all of the exporter's metadata, `slim.onnx` without, and their one `model.onnx_data`."""
    config = Qwen3Config(max_position_embeddings=32_768, tie_word_embeddings=False, **shape.config)
    model = to_graph(adapted(config, shape), config.hidden_size, shape.dtype)
    out.mkdir(parents=True, exist_ok=True)
    place_weights(model, out / "model.onnx_data", config, shape.sparse)
    proto = ir.to_proto(model)
    (out / "model.onnx").write_bytes(proto.SerializeToString())
    strip_metadata(proto, keep_scopes=True)
    (out / "slim.onnx").write_bytes(proto.SerializeToString(deterministic=True))


def adapted(config: Qwen3Config, shape: Shape) -> Decoder:
    """The decoder on the meta device, DoRA on every linear layer but the head."""
    with torch.device("meta"):
        base = Qwen3ForCausalLM(config).to(shape.dtype)
        adapter = LoraConfig(r=shape.rank, lora_alpha=2 * shape.rank, use_dora=True, target_modules="all-linear")
        model = get_peft_model(base, adapter, autocast_adapter_dtype=False)
    return Decoder(model.to("meta").get_base_model(), CacheLayout(config, shape.dtype)).eval()


def to_graph(decoder: Decoder, hidden: int, dtype: torch.dtype) -> ir.Model:
    """The dynamo exporter's graph, with nothing folded: weights keep their names and layouts."""
    with torch.device("meta"), torch.no_grad():
        cached = decoder.layout.tensors()
        return torch.onnx.export(
            decoder,
            (
                torch.zeros(2, 5, hidden, dtype=dtype),
                torch.ones(2, 12, dtype=torch.long),
                torch.zeros(2, 5, dtype=torch.long),
                *(tensor.example for tensor in cached),
            ),
            input_names=["inputs_embeds", "attention_mask", "position_ids", *(tensor.past for tensor in cached)],
            output_names=["logits", *(tensor.present for tensor in cached)],
            dynamic_shapes=(
                BOTH,
                {0: BATCH, 1: TOTAL},
                BOTH,
                tuple({0: BATCH, 2: PAST} for _ in cached),
            ),
            dynamo=True,
            optimize=False,
            verbose=False,
        ).model


def place_weights(model: ir.Model, path: Path, config: Qwen3Config, sparse: bool) -> None:
    """Gives every initializer its place in the data file, or its value in the graph if it is small."""
    random = np.random.default_rng(0)
    offset = 0
    with path.open("wb") as file:
        for name, value in model.graph.initializers.items():
            tensor = value.const_value
            shape = tuple(tensor.shape.numpy())
            if tensor.nbytes < EXTERNAL_FROM:
                content = weight(name, shape, config, random).astype(tensor.dtype.numpy())
                value.const_value = ir.Tensor(content, dtype=tensor.dtype, name=name)
                continue
            offset += -offset % ALIGNMENT
            if not sparse:
                file.seek(offset)
                file.write(weight(name, shape, config, random).astype(tensor.dtype.numpy()).tobytes())
            value.const_value = ir.ExternalTensor(
                path.name, offset, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=name, base_dir=path.parent
            )
            offset += tensor.nbytes
        file.truncate(offset)


def weight(name: str, shape: tuple[int, ...], config: Qwen3Config, random: np.random.Generator) -> np.ndarray:
    """A plausible value for one parameter or buffer: B is not 0, and no magnitude is the norm that it scales."""
    if "inv_freq" in name:
        theta = config.rope_parameters["rope_theta"]
        return 1 / theta ** (np.arange(0, config.head_dim, 2) / config.head_dim)
    if "magnitude" in name:
        inputs = config.intermediate_size if "down_proj" in name else config.hidden_size
        return STANDARD_DEVIATION * math.sqrt(inputs) * random.uniform(0.9, 1.1, shape)
    if len(shape) == 1:
        return np.ones(shape)
    return random.standard_normal(shape, dtype=np.float32) * STANDARD_DEVIATION


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("out", type=Path, help="the folder to write into")
    arguments = parser.parse_args()
    started = time.monotonic()
    export(SHAPES[arguments.shape], arguments.out)
    print(f"{arguments.shape}: {time.monotonic() - started:.0f} s")
