"""Qwen3.5: Qwen3-VL's vision without DeepStack; a decoder most of whose layers are linear attention with a state.

A linear layer keeps no keys and values but two tensors of fixed size, which the decoder takes and gives back:
`past_conv.{layer}` of the model's type [batch, channels, kernel], the last inputs of its convolution, and
`past_recurrent.{layer}` float32 [batch, value_heads, key_dim, value_dim]; both start as zeros. The names are those of
transformers.js 4.3. One graph serves prefill and decode: the gated delta rule is an ONNX Scan over the tokens, for any
length from 1. Padding at the left is masked as in the model.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MethodType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch._higher_order_ops.scan import scan
from transformers.activations import ACT2FN
from transformers.cache_utils import Cache, DynamicCache

from . import Part
from .language_model import CachedTensor, CacheLayout, decoder_part, embedding_part, key_and_value
from .qwen3_vision import layers
from .qwen_vision import PictureEncoder, vision_part

LINEAR = "linear_attention"


def parts(model: nn.Module, dtype: torch.dtype) -> list[Part]:
    """The three files of a model in eval mode whose weights are of `dtype`.

    The model given is changed for that: its linear attention no longer computes in chunks.
    """
    encoder = vision_part(VisionEncoder(model, dtype), {"image_features": {0: "num_image_tokens"}})
    for layer in model.model.language_model.layers:
        if layer.block_type == LINEAR:
            layer.linear_attn.forward = MethodType(_linear_attention, layer.linear_attn)
    layout = HybridLayout(model.config.text_config, dtype)
    return [encoder, embedding_part(model), decoder_part(model, dtype, position_axes=3, layout=layout)]


class VisionEncoder(PictureEncoder):
    """`pixel_values` float32 [patches, values], `image_grid_thw` int64 [1, 3] → features float32 [tokens, hidden]."""

    def forward(self, pixel_values: Tensor, image_grid_thw: Tensor) -> Tensor:
        """Only what the last block says is merged."""
        visual = self.model.visual
        return visual.merger(layers(visual, pixel_values.to(self.dtype), image_grid_thw)[-1]).float()


class HybridLayout(CacheLayout):
    """Keys and values of the layers with full attention, both states of those with linear attention."""

    def tensors(self) -> list[CachedTensor]:
        """In the order of the layers."""
        found: list[CachedTensor] = []
        for layer, kind in enumerate(self.config.layer_types):
            found += self._states(layer) if kind == LINEAR else key_and_value(self.config, layer, self.dtype)
        return found

    def _states(self, layer: int) -> list[CachedTensor]:
        config = self.config
        keys, values = config.linear_num_key_heads, config.linear_num_value_heads
        key_dim, value_dim = config.linear_key_head_dim, config.linear_value_head_dim
        channels = 2 * keys * key_dim + values * value_dim
        conv = torch.zeros(2, channels, config.linear_conv_kernel_dim, dtype=self.dtype)
        state = torch.zeros(2, values, key_dim, value_dim)
        return [
            CachedTensor(f"past_conv.{layer}", f"present_conv.{layer}", conv, grows=False),
            CachedTensor(f"past_recurrent.{layer}", f"present_recurrent.{layer}", state, grows=False),
        ]

    def cache(self, past: Sequence[Tensor]) -> DynamicCache:
        """States are put in place of the layers' own, which would be written over in place."""
        cache = DynamicCache(config=self.config)
        for number, kind in enumerate(self.config.layer_types):
            first, second = past[2 * number : 2 * number + 2]
            if kind == LINEAR:
                cache.layers[number].conv_states[0] = first
                cache.layers[number].recurrent_states[0] = second
            else:
                cache.update(first, second, number)
        return cache

    def present(self, cache: Cache) -> list[Tensor]:
        """What the layers left behind."""
        found: list[Tensor] = []
        for layer, kind in zip(cache.layers, self.config.layer_types, strict=True):
            linear = kind == LINEAR
            found += [layer.conv_states[0], layer.recurrent_states[0]] if linear else [layer.keys, layer.values]
        return found


def gated_delta_rule(
    query: Tensor, key: Tensor, value: Tensor, log_decay: Tensor, beta: Tensor, state: Tensor
) -> tuple[Tensor, Tensor]:
    """Every token decays the state S, corrects what it holds for the token's key, and reads it:

        S ← exp(log_decay)·S;  S ← S + k ⊗ β·(v - Sᵀk);  output = Sᵀq / √key_dim, with q and k of unit length.

    Float32 [batch, sequence, heads, dim] for query and key, [batch, sequence, value_heads, dim] for the value, gates
    without the last dimension, state [batch, value_heads, key_dim, value_dim]; a query's head serves consecutive heads
    of values. Returns outputs shaped as the value, and the state behind the last token.
    """
    repeats = value.shape[2] // key.shape[2]
    query, key = (_unit(x)[:, :, :, None].expand(-1, -1, -1, repeats, -1).flatten(2, 3) for x in (query, key))
    query = query * query.shape[-1] ** -0.5
    tokens = tuple(x.transpose(0, 1) for x in (query, key, value, log_decay.exp(), beta))
    state, outputs = scan(_token, state, tokens, dim=0)
    return outputs.transpose(0, 1), state


def _token(state: Tensor, token: tuple[Tensor, ...]) -> tuple[Tensor, Tensor]:
    query, key, value, decay, beta = token
    state = state * decay[..., None, None]
    correction = (value - (state * key[..., None]).sum(-2)) * beta[..., None]
    state = state + key[..., None] * correction[..., None, :]
    return state, (state * query[..., None]).sum(-2)


def _unit(x: Tensor) -> Tensor:
    return x * torch.rsqrt((x * x).sum(-1, keepdim=True) + 1e-6)


def _linear_attention(
    module: nn.Module, hidden_states: Tensor, cache_params: Cache, attention_mask: Tensor | None, **_rest: Any
) -> Tensor:
    """Qwen3_5GatedDeltaNet's forward for any number of tokens behind a state; `attention_mask` [batch, sequence]."""
    states = cache_params.layers[module.layer_idx]
    dtype = hidden_states.dtype
    if attention_mask is not None:
        hidden_states = (hidden_states * attention_mask[:, :, None]).to(dtype)
    window = torch.cat([states.conv_states[0], module.in_proj_qkv(hidden_states).transpose(1, 2)], dim=-1)
    states.conv_states[0] = window[:, :, -module.conv_kernel_size :]
    # The oldest of the state is out of the first token's reach.
    mixed = F.conv1d(window[:, :, 1:], module.conv1d.weight, module.conv1d.bias, groups=module.conv_dim)
    mixed = ACT2FN[module.activation](mixed).transpose(1, 2).float()
    query, key, value = mixed.split([module.key_dim, module.key_dim, module.value_dim], dim=-1)
    outputs, states.recurrent_states[0] = gated_delta_rule(
        query.unflatten(-1, (module.num_k_heads, module.head_k_dim)),
        key.unflatten(-1, (module.num_k_heads, module.head_k_dim)),
        value.unflatten(-1, (module.num_v_heads, module.head_v_dim)),
        -module.A_log.float().exp() * F.softplus(module.in_proj_a(hidden_states).float() + module.dt_bias),
        module.in_proj_b(hidden_states).sigmoid().float(),
        states.recurrent_states[0],
    )
    gate = module.in_proj_z(hidden_states).unflatten(-1, (module.num_v_heads, module.head_v_dim))
    return module.out_proj(module.norm(outputs.to(dtype), gate).flatten(2))
