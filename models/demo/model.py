"""The demo model: SmolVLM as transformers has it, sized so that its ONNX files stay under 24 MB together.

Every adapted layer has 640 inputs, so that no exporter folds the DoRA norm away.
"""

from __future__ import annotations

import torch
from peft import LoraConfig
from transformers import (
    Idefics3ImageProcessor,
    Idefics3Processor,
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from .draw import SIDE
from .tokenizer import IMAGE_TOKENS

PATCH = 8
SCALE_FACTOR = 2
ADAPTED = r".*text_model\.layers\.\d+\.(self_attn\.[qkvo]_proj|mlp\.(gate|up|down)_proj)"
"""Every linear layer of the decoder."""
ADAPTERS: dict[str, LoraConfig] = {
    name: LoraConfig(r=8, lora_alpha=16, use_dora=True, target_modules=ADAPTED) for name in ("reading", "counting")
}


def build_config(tokenizer: PreTrainedTokenizerFast) -> SmolVLMConfig:
    """The architecture; token ids come from the tokenizer."""
    ids = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
    }
    return SmolVLMConfig(
        vision_config={
            "hidden_size": 128,
            "intermediate_size": 384,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": SIDE,
            "patch_size": PATCH,
        },
        text_config={
            "model_type": "llama",
            "vocab_size": len(tokenizer),
            "hidden_size": 640,
            "intermediate_size": 640,
            "num_hidden_layers": 2,
            "num_attention_heads": 10,
            "num_key_value_heads": 2,
            "head_dim": 64,
            "max_position_embeddings": 1024,
            "rms_norm_eps": 1e-5,
            "tie_word_embeddings": True,
            **ids,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=SCALE_FACTOR,
        tie_word_embeddings=True,
        **ids,
    )


def build_model(tokenizer: PreTrainedTokenizerFast, seed: int) -> SmolVLMForConditionalGeneration:
    """A freshly initialised model."""
    torch.manual_seed(seed)
    model = SmolVLMForConditionalGeneration(build_config(tokenizer))
    for name in ("pad_token_id", "bos_token_id", "eos_token_id"):
        setattr(model.generation_config, name, getattr(tokenizer, name))
    return model


def build_processor(tokenizer: PreTrainedTokenizerFast) -> Idefics3Processor:
    """One tile a picture: 128 x 128 pixels pass through untouched, anything else is resized to that."""
    image_processor = Idefics3ImageProcessor(
        size={"longest_edge": SIDE},
        max_image_size={"longest_edge": SIDE},
        do_image_splitting=False,
        image_mean=[0.5] * 3,
        image_std=[0.5] * 3,
    )
    return Idefics3Processor(
        image_processor, tokenizer, image_seq_len=IMAGE_TOKENS, chat_template=tokenizer.chat_template
    )
