"""The tiny models: real architectures of a few layers, random weights, DoRA with B ≠ 0, g ≠ 1 on the language model."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoConfig, AutoModelForImageTextToText, PreTrainedModel

from models.export.families.qwen_vision import patch_values

IMAGE_TOKEN = 10
"""Stands for one token of a picture in every family."""
TEXT = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
QWEN_VISION = {
    "depth": 2,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_heads": 2,
    "out_hidden_size": 32,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
}
QWEN_TOKENS = {
    "image_token_id": IMAGE_TOKEN,
    "video_token_id": 11,
    "vision_start_token_id": 12,
    "vision_end_token_id": 13,
}
PATCHES = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": 56,
    "patch_size": 14,
}
ROPE = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [2, 1, 1]}

CONFIGS: dict[str, dict[str, Any]] = {
    "gemma3": {
        "text_config": {
            **TEXT,
            "num_hidden_layers": 3,
            "sliding_window": 8,
            "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 8,
        },
        "vision_config": {"model_type": "siglip_vision_model", **PATCHES, "vision_use_head": False},
        "mm_tokens_per_image": 4,
        "image_token_index": IMAGE_TOKEN,
        "boi_token_index": 12,
        "eoi_token_index": 13,
    },
    "llava": {
        "text_config": {"model_type": "llama", **TEXT},
        "vision_config": {"model_type": "clip_vision_model", **PATCHES, "projection_dim": 32},
        "image_token_index": IMAGE_TOKEN,
    },
    "mistral3": {
        "text_config": {"model_type": "mistral", **TEXT, "sliding_window": None},
        "vision_config": {"model_type": "pixtral", **PATCHES, "head_dim": 16},
        "image_token_index": IMAGE_TOKEN,
        "spatial_merge_size": 2,
    },
    "qwen2_5_vl": {
        "text_config": {**TEXT, "rope_parameters": ROPE},
        "vision_config": {**QWEN_VISION, "patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]},
        **QWEN_TOKENS,
    },
    "qwen3_5": {
        "text_config": {
            **TEXT,
            "layer_types": ["linear_attention", "full_attention"],
            "head_dim": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
            "rope_parameters": {**ROPE, "mrope_interleaved": True, "partial_rotary_factor": 0.5},
        },
        "vision_config": {**QWEN_VISION, "patch_size": 16, "num_position_embeddings": 64},
        **QWEN_TOKENS,
    },
    "qwen3_vl": {
        "text_config": {**TEXT, "rope_parameters": {**ROPE, "mrope_interleaved": True}},
        "vision_config": {
            **QWEN_VISION,
            "patch_size": 16,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **QWEN_TOKENS,
    },
}


def build(family: str) -> PreTrainedModel:
    """The adapted model in eval mode and float32; the adapter's layers are in place, so names stay."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(family, **CONFIGS[family])
    model = AutoModelForImageTextToText.from_config(config, attn_implementation="sdpa").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 0.15)
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear) and "language_model" in n]
    adapted = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, use_dora=True, target_modules=linear))
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.1)
            if "magnitude" in name:
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
    return adapted.get_base_model().eval().requires_grad_(False)


def adapted_modules(model: nn.Module) -> list[str]:
    """Paths of the layers that PEFT has adapted."""
    return sorted(name.removesuffix(".base_layer") for name, _ in model.named_modules() if name.endswith("base_layer"))


def picture(family: str, model: PreTrainedModel) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """A random picture: the vision encoder's inputs, and what else the whole model wants to know about it."""
    generator = torch.Generator().manual_seed(1)
    vision = model.config.vision_config
    if family.startswith("qwen"):
        values = patch_values(vision)
        grid = torch.tensor([[1, 4, 6]])
        return {"pixel_values": torch.randn(24, values, generator=generator), "image_grid_thw": grid}, {}
    if family == "mistral3":
        sizes = {"image_sizes": torch.tensor([[56, 84]])}
        return {"pixel_values": torch.randn(1, 3, 56, 84, generator=generator)}, sizes
    side = vision.image_size
    return {"pixel_values": torch.randn(1, 3, side, side, generator=generator)}, {}
