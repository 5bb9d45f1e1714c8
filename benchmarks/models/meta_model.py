"""PEFT's model that is exported and compared. Needs PyTorch, PEFT and Transformers alone."""

from __future__ import annotations

from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import Qwen3Config, Qwen3ForCausalLM


def adapted(config: dict[str, Any], rank: int, scaling: int) -> nn.Module:
    """Qwen3 in bfloat16 on the meta device, DoRA on every linear layer but the head."""
    with torch.device("meta"):
        base = Qwen3ForCausalLM(Qwen3Config(**config)).to(torch.bfloat16)
        adapter = LoraConfig(r=rank, lora_alpha=scaling * rank, use_dora=True, target_modules="all-linear")
        model = get_peft_model(base, adapter, autocast_adapter_dtype=False)
    return model.to("meta", torch.bfloat16).get_base_model()
