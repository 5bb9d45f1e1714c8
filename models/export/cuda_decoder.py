"""A decoder as ONNX Runtime's CUDA provider runs it best: token ids in, logits of the last position out, and keys and
values in buffers of a fixed length that stay on the device.

The model is transformers' own. What differs is put in its place: the attention by a function registered with
transformers, the rotary positions (which the operator applies), and the norms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import onnx_ir as ir
import torch
from onnx_ir.tensor_adapters import TorchTensor
from torch import Tensor, nn
from transformers import AttentionInterface, PreTrainedConfig
from transformers.models.qwen3 import modeling_qwen3

from .ort_operators import group_query_attention, rms_norm
from .ort_passes import drop_idle_casts, fix_reshapes, fuse_residuals

BATCH, SEQUENCE, LONGEST = "batch_size", "sequence_length", "longest"
ATTENTION = "ort_dora_group_query"


class Buffers:
    """Stands in for transformers' cache: hands keys and values on as they come, and the operator's buffers to it."""

    def __init__(self, past: tuple[Tensor, ...]) -> None:
        self.past = past
        self.present: list[Tensor] = []

    def update(self, key: Tensor, value: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        """Called by the attention layer before its attention function."""
        return key, value

    def get_seq_length(self, *_: Any) -> int:
        """Asked for positions, which the operator has from `seqlens_k`."""
        return 0


class RmsNorm(nn.Module):
    """In the place of a norm of transformers, with its parameter under its name."""

    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.weight = norm.weight
        self.epsilon = norm.variance_epsilon

    def forward(self, x: Tensor) -> Tensor:
        """Over the last dimension."""
        return rms_norm(x, self.weight, self.epsilon)


class NoRotation(nn.Module):
    """In the place of the rotary embedding."""

    def forward(self, x: Tensor, position_ids: Tensor) -> tuple[Tensor, Tensor]:
        """What the patched rotation leaves unused."""
        return x, x


class CudaDecoder(nn.Module):
    """`input_ids` int64 [batch, sequence], `seqlens_k` int32 [batch], `total_sequence_length` int32 [1], and for each
    layer the buffers of its keys and values [batch, kv_heads, longest, head_dim] in; logits [batch, 1, vocabulary] and
    the buffers out.
    """

    def __init__(self, model: nn.Module, longest: int) -> None:
        super().__init__()
        self.model = model.model
        self.lm_head = model.lm_head
        config = model.config
        config._attn_implementation = ATTENTION
        for name in (
            "cos",
            "sin",
        ):  # filled in by to_graph: the exporter wants all tensors on one device, which may be meta
            self.register_buffer(name, model.lm_head.weight.new_empty(longest, config.head_dim // 2), persistent=False)
        for parent in list(self.model.modules()):
            for name, child in parent.named_children():
                if isinstance(child, modeling_qwen3.Qwen3RMSNorm):
                    setattr(parent, name, RmsNorm(child))
        self.model.rotary_emb = NoRotation()

    def forward(
        self, input_ids: Tensor, seqlens_k: Tensor, total_sequence_length: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        """`past` holds key and value of layer 0 first."""
        buffers = Buffers(past)
        with without_rotation():
            hidden = self.model(
                input_ids=input_ids,
                attention_mask={"full_attention": None},
                past_key_values=buffers,
                use_cache=True,
                seqlens_k=seqlens_k,
                total_sequence_length=total_sequence_length,
                rotation=(self.cos, self.sin),
                buffers=buffers,
            ).last_hidden_state
        return self.lm_head(hidden[:, -1:]), *buffers.present


def attention(
    module: nn.Module, query: Tensor, key: Tensor, value: Tensor, _: None, *, scaling: float, **given: Any
) -> tuple[Tensor, None]:
    """An attention function of transformers: query [batch, heads, sequence, head_dim], key and value likewise."""
    buffers: Buffers = given["buffers"]
    batch, _heads, sequence, _dim = query.shape
    query, key, value = (x.transpose(1, 2).reshape(batch, sequence, -1) for x in (query, key, value))
    at = 2 * module.layer_idx
    out, present_key, present_value = group_query_attention(
        query,
        key,
        value,
        buffers.past[at],
        buffers.past[at + 1],
        given["seqlens_k"],
        given["total_sequence_length"],
        *given["rotation"],
        scale=scaling,
    )
    buffers.present += [present_key, present_value]
    return out, None


AttentionInterface.register(ATTENTION, attention)


@contextmanager
def without_rotation() -> Iterator[None]:
    """Queries and keys reach the attention function as they were projected."""
    with patch.object(modeling_qwen3, "apply_rotary_pos_emb", lambda query, key, *_: (query, key)):
        yield


def rotation(config: PreTrainedConfig, longest: int) -> dict[str, Tensor]:
    """Cosine and sine of each position's angles [longest, head_dim / 2], by the names of the decoder's buffers."""
    base = config.rope_parameters["rope_theta"]
    frequencies = 1 / base ** (torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim)
    angles = torch.arange(longest, dtype=torch.float64)[:, None] * frequencies
    return {"cos": angles.cos(), "sin": angles.sin()}


def to_graph(model: nn.Module, longest: int) -> ir.Model:
    """The dynamo exporter's graph of a Qwen3 model, with or without PEFT's layers inside, on any device (meta too).

    longest: of the positions that the rotation knows, so of the buffers too.
    """
    decoder = CudaDecoder(model, longest).eval()
    config = model.config
    device, dtype = model.lm_head.weight.device, model.lm_head.weight.dtype
    names = [f"{layer}.{kind}" for layer in range(config.num_hidden_layers) for kind in ("key", "value")]
    with torch.device(device), torch.no_grad():
        past = [torch.zeros(2, config.num_key_value_heads, 16, config.head_dim, dtype=dtype) for _ in names]
        graph = torch.onnx.export(
            decoder,
            (
                torch.zeros(2, 5, dtype=torch.int64),
                torch.full((2,), 11, dtype=torch.int32),
                torch.full((1,), 12, dtype=torch.int32),
                *past,
            ),
            input_names=["input_ids", "seqlens_k", "total_sequence_length", *(f"past_key_values.{n}" for n in names)],
            output_names=["logits", *(f"present.{n}" for n in names)],
            dynamic_shapes=(
                {0: BATCH, 1: SEQUENCE},
                {0: BATCH},
                None,
                tuple({0: BATCH, 2: LONGEST} for _ in names),
            ),
            dynamo=True,
            optimize=False,
            verbose=False,
        ).model
    for name, table in rotation(config, longest).items():
        graph.graph.initializers[name].const_value = TorchTensor(table.to(dtype), name)
    drop_idle_casts(graph)
    fix_reshapes(graph)
    fuse_residuals(graph)
    return graph
