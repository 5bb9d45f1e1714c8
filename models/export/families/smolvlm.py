"""SmolVLM and Idefics3: vision encoder with connector, token embedding, decoder with KV cache.

Modules keep the names that they have in the whole model, so that the paths in the graphs are PEFT's. Picture features,
embeddings and logits are float32 at the files' borders, whatever the model's type; the KV cache is of the model's type.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers.cache_utils import DynamicCache

from . import Part

BATCH, SEQUENCE, PAST, TOTAL = (
    "batch_size",
    "sequence_length",
    "past_sequence_length",
    "total_sequence_length",
)


def parts(model: nn.Module, dtype: torch.dtype) -> list[Part]:
    """The three files of a model in eval mode whose weights are of `dtype`."""
    return [_vision(model, dtype), _embedding(model), _decoder(model, dtype)]


class VisionEncoder(nn.Module):
    """`pixel_values` float32 [batch, images, 3, side, side] → features [batch·images, tokens, hidden]."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.vision_model = model.model.vision_model
        self.model.connector = model.model.connector
        self.patch = model.config.vision_config.patch_size
        self.dtype = dtype

    def forward(self, pixel_values: Tensor, pixel_attention_mask: Tensor) -> Tensor:
        """A patch counts where any of its pixels does."""
        batch, images, channels, height, width = pixel_values.shape
        pixels = pixel_values.reshape(batch * images, channels, height, width).to(self.dtype)
        rows, columns = height // self.patch, width // self.patch
        mask = pixel_attention_mask.reshape(batch * images, rows, self.patch, columns, self.patch)
        mask = mask.permute(0, 1, 3, 2, 4).flatten(3).any(-1)
        features = self.model.vision_model(pixel_values=pixels, patch_attention_mask=mask).last_hidden_state
        return self.model.connector(features).float()


class TokenEmbedding(nn.Module):
    """`input_ids` int64 [batch, sequence] → float32 [batch, sequence, hidden]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.embed_tokens = model.get_input_embeddings()

    def forward(self, input_ids: Tensor) -> Tensor:
        """Looks the rows up."""
        return self.embed_tokens(input_ids).float()


class Decoder(nn.Module):
    """One step or many: embeddings and a KV cache in, logits and the longer cache out.

    `attention_mask` int64 [batch, past + sequence]; `position_ids` int64 [batch, sequence]; each of `past` is
    [batch, kv_heads, past, head_dim], keys and values of layer 0 first.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.text_model = model.model.text_model
        self.lm_head = model.lm_head
        self.dtype = dtype

    def forward(
        self, inputs_embeds: Tensor, attention_mask: Tensor, position_ids: Tensor, *past: Tensor
    ) -> tuple[Tensor, ...]:
        """The cache object is built inside, since exporters take tensors only."""
        cache = DynamicCache()
        for layer in range(len(past) // 2):
            cache.update(past[2 * layer], past[2 * layer + 1], layer)
        result = self.model.text_model(
            inputs_embeds=inputs_embeds.to(self.dtype),
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=cache,
            use_cache=True,
        )
        logits = self.lm_head(result.last_hidden_state).float()
        present = [t for layer in result.past_key_values.layers for t in (layer.keys, layer.values)]
        return logits, *present


def _vision(model: nn.Module, dtype: torch.dtype) -> Part:
    side = model.config.vision_config.image_size
    many = {0: BATCH, 1: "num_images"}
    return Part(
        "vision_encoder",
        VisionEncoder(model, dtype),
        # 2 x 3 pictures: an example size of one would be taken for a constant
        {
            "pixel_values": torch.zeros(2, 3, 3, side, side),
            "pixel_attention_mask": torch.ones(2, 3, side, side, dtype=torch.bool),
        },
        ["image_features"],
        {"pixel_values": many, "pixel_attention_mask": many, "image_features": {0: "num_images_total"}},
        keep_scopes=_has_adapter(model.model.vision_model),
    )


def _embedding(model: nn.Module) -> Part:
    both = {0: BATCH, 1: SEQUENCE}
    return Part(
        "embed_tokens",
        TokenEmbedding(model),
        {"input_ids": torch.zeros(2, 5, dtype=torch.long)},
        ["inputs_embeds"],
        {"input_ids": both, "inputs_embeds": both},
        keep_scopes=_has_adapter(model.get_input_embeddings()),
    )


def _decoder(model: nn.Module, dtype: torch.dtype) -> Part:
    config = model.config.text_config
    names = [f"{i}.{kind}" for i in range(config.num_hidden_layers) for kind in ("key", "value")]
    past = {
        f"past_key_values.{n}": torch.zeros(2, config.num_key_value_heads, 7, config.head_dim, dtype=dtype)
        for n in names
    }
    both = {0: BATCH, 1: SEQUENCE}
    return Part(
        "decoder_model_merged",
        Decoder(model, dtype),
        {
            "inputs_embeds": torch.zeros(2, 5, config.hidden_size),
            "attention_mask": torch.ones(2, 12, dtype=torch.long),
            "position_ids": torch.arange(7, 12)[None].repeat(2, 1),
            **past,
        },
        ["logits", *(f"present.{n}" for n in names)],
        {
            "inputs_embeds": both,
            "attention_mask": {0: BATCH, 1: TOTAL},
            "position_ids": both,
            **{n: {0: BATCH, 2: PAST} for n in past},
            "logits": both,
            **{f"present.{n}": {0: BATCH, 2: TOTAL} for n in names},
        },
        keep_scopes=True,
    )


def _has_adapter(module: nn.Module) -> bool:
    return any("lora_" in name for name, _ in module.named_parameters())
