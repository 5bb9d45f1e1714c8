"""Operators of ONNX Runtime's CUDA provider that ONNX has no equal for, as calls that only an export understands."""

from __future__ import annotations

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, epsilon: float) -> Tensor:
    """x / √(mean x² + ε) · weight over the last dimension, in float32."""
    return torch.onnx.ops.symbolic(
        "SimplifiedLayerNormalization",
        (x, weight),
        {"axis": -1, "epsilon": epsilon, "stash_type": 1},
        dtype=x.dtype,
        shape=x.shape,
    ).to(x.device)  # what comes out is on the CPU, in an export on the meta device too


def group_query_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    past_key: Tensor,
    past_value: Tensor,
    seqlens_k: Tensor,
    total_sequence_length: Tensor,
    cos: Tensor,
    sin: Tensor,
    *,
    scale: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Causal attention with rotary positions, over buffers of keys and values that the kernel writes into.

    query [batch, sequence, heads · head_dim], key and value [batch, sequence, kv_heads · head_dim], before rotation;
    past [batch, kv_heads, longest, head_dim]; seqlens_k int32 [batch]: the tokens of each row, less one;
    total_sequence_length int32 [1]: the tokens of the longest row, read on the CPU; cos and sin
    [longest, head_dim / 2]. The presents have the pasts' shape: bound to the same memory they are the same buffers.
    """
    kv_heads, head_dim = past_key.shape[1], past_key.shape[3]
    outputs = torch.onnx.ops.symbolic_multi_out(
        "com.microsoft::GroupQueryAttention",
        (query, key, value, past_key, past_value, seqlens_k, total_sequence_length, cos, sin),
        {"num_heads": query.shape[-1] // head_dim, "kv_num_heads": kv_heads, "scale": scale, "do_rotary": 1},
        dtypes=(query.dtype, past_key.dtype, past_value.dtype),
        shapes=(query.shape, past_key.shape, past_value.shape),
    )
    return tuple(output.to(query.device) for output in outputs)
