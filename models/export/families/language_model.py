"""What the families share: the token embedding, and a decoder with KV cache around a language model.

Modules keep the names that they have in the whole model, so that the paths in the graphs are PEFT's. Picture features,
embeddings and logits are float32 at the files' borders, whatever the model's type; the KV cache is of the model's type.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers.cache_utils import Cache, DynamicCache

from . import Part

BATCH, SEQUENCE, PAST, TOTAL = (
    "batch_size",
    "sequence_length",
    "past_sequence_length",
    "total_sequence_length",
)
BOTH = {0: BATCH, 1: SEQUENCE}

LanguageModelInputs = Callable[..., dict[str, Any]]
"""From attention mask, position ids and extra inputs to the language model's arguments."""


class TokenEmbedding(nn.Module):
    """`input_ids` int64 [batch, sequence] → float32 [batch, sequence, hidden]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.embed_tokens = model.get_input_embeddings()

    def forward(self, input_ids: Tensor) -> Tensor:
        """Looks the rows up."""
        return self.embed_tokens(input_ids).float()


@dataclass(frozen=True)
class CachedTensor:
    """One tensor of the cache: the names of its input and output, an example of two prompts, and whether it grows with
    the tokens seen, along its third dimension. No two may share an example: the exporter would take them for one input.
    """

    past: str
    present: str
    example: Tensor
    grows: bool


class CacheLayout:
    """How a cache lies in a decoder's inputs and outputs: here, keys and values of every layer.

    `config` is the language model's; keys and values are of the model's type [batch, kv_heads, past, head_dim].
    """

    def __init__(self, config: Any, dtype: torch.dtype) -> None:
        self.config = config
        self.dtype = dtype

    def tensors(self) -> list[CachedTensor]:
        """In the order of the layers."""
        layers = range(self.config.num_hidden_layers)
        return [tensor for layer in layers for tensor in key_and_value(self.config, layer, self.dtype)]

    def cache(self, past: Sequence[Tensor]) -> Cache:
        """The language model's cache, from tensors in the order of `tensors`."""
        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        return cache

    def present(self, cache: Cache) -> list[Tensor]:
        """The tensors of a cache, in the order of `tensors`."""
        return [tensor for layer in cache.layers for tensor in (layer.keys, layer.values)]


def key_and_value(config: Any, layer: int, dtype: torch.dtype) -> list[CachedTensor]:
    """Of one layer with attention."""
    head_dim = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    shape = (2, config.num_key_value_heads, 7, head_dim)
    names = (f"{layer}.{kind}" for kind in ("key", "value"))
    return [
        CachedTensor(f"past_key_values.{n}", f"present.{n}", torch.zeros(shape, dtype=dtype), grows=True) for n in names
    ]


class Decoder(nn.Module):
    """One step or many: embeddings and a KV cache in, logits and the longer cache out.

    `attention_mask` int64 [batch, past + sequence]; `position_ids` int64 [batch, sequence], or [3, batch, sequence] in
    families whose positions have three axes. `rest` is the family's extra inputs, then the cache's tensors as `layout`
    orders them.
    """

    def __init__(
        self,
        model: nn.Module,
        dtype: torch.dtype,
        attribute: str,
        extras: int,
        arguments: LanguageModelInputs,
        layout: CacheLayout,
    ) -> None:
        super().__init__()
        self.model = nn.Module()
        setattr(self.model, attribute, getattr(model.model, attribute))
        self.lm_head = model.lm_head
        self.attribute = attribute
        self.extras = extras
        self.arguments = arguments
        self.layout = layout
        self.dtype = dtype

    def forward(
        self, inputs_embeds: Tensor, attention_mask: Tensor, position_ids: Tensor, *rest: Tensor
    ) -> tuple[Tensor, ...]:
        """The cache object is built inside, since exporters take tensors only."""
        extras, past = rest[: self.extras], rest[self.extras :]
        cache = self.layout.cache(past)
        result = getattr(self.model, self.attribute)(
            inputs_embeds=inputs_embeds.to(self.dtype),
            past_key_values=cache,
            use_cache=True,
            **self.arguments(attention_mask, position_ids, *extras),
        )
        logits = self.lm_head(result.last_hidden_state).float()
        return logits, *self.layout.present(result.past_key_values)


def plain_arguments(attention_mask: Tensor, position_ids: Tensor) -> dict[str, Any]:
    """For language models that take mask and positions as they are."""
    return {"attention_mask": attention_mask, "position_ids": position_ids}


def embedding_part(model: nn.Module) -> Part:
    """The file of the token embedding."""
    return Part(
        "embed_tokens",
        TokenEmbedding(model),
        {"input_ids": torch.zeros(2, 5, dtype=torch.long)},
        ["inputs_embeds"],
        {"input_ids": BOTH, "inputs_embeds": BOTH},
        keep_scopes=has_adapter(model.get_input_embeddings()),
    )


def decoder_part(
    model: nn.Module,
    dtype: torch.dtype,
    *,
    attribute: str = "language_model",
    position_axes: int = 1,
    extras: dict[str, tuple[Tensor, dict[int, str]]] | None = None,
    arguments: LanguageModelInputs = plain_arguments,
    layout: CacheLayout | None = None,
) -> Part:
    """The file of the decoder. `extras` are inputs behind the positions: an example and its varying dimensions each."""
    extras = extras or {}
    config = model.config.get_text_config()
    layout = layout or CacheLayout(config, dtype)
    cached = layout.tensors()
    positions = torch.arange(7, 12)[None].repeat(2, 1)
    many_axes = position_axes > 1
    return Part(
        "decoder_model_merged",
        Decoder(model, dtype, attribute, len(extras), arguments, layout),
        {
            "inputs_embeds": torch.zeros(2, 5, config.hidden_size),
            "attention_mask": torch.ones(2, 12, dtype=torch.long),
            "position_ids": positions[None].repeat(position_axes, 1, 1) if many_axes else positions,
            **{name: example for name, (example, _) in extras.items()},
            **{tensor.past: tensor.example for tensor in cached},
        },
        ["logits", *(tensor.present for tensor in cached)],
        {
            "inputs_embeds": BOTH,
            "attention_mask": {0: BATCH, 1: TOTAL},
            "position_ids": {1: BATCH, 2: SEQUENCE} if many_axes else BOTH,
            **{name: dynamic for name, (_, dynamic) in extras.items()},
            **{tensor.past: {0: BATCH, 2: PAST} if tensor.grows else {0: BATCH} for tensor in cached},
            "logits": BOTH,
            **{tensor.present: {0: BATCH, 2: TOTAL} if tensor.grows else {0: BATCH} for tensor in cached},
        },
        keep_scopes=True,
    )


def has_adapter(module: nn.Module) -> bool:
    """Whether any layer inside has been adapted."""
    return any("lora_" in name for name, _ in module.named_parameters())
