"""Model families: each knows how one architecture is cut into ONNX files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Part:
    """One ONNX file: a module, example inputs, and which dimensions vary.

    `dynamic` names the varying dimensions of every input and output, by tensor name. The first dimension must be
    called `batch_size`: transformers.js sizes the empty KV cache by that name. `keep_scopes` keeps the nodes' module
    paths in the file: what tools need to find the layers of a part that adapters are made for.
    """

    name: str
    module: nn.Module
    inputs: dict[str, torch.Tensor]
    outputs: list[str]
    dynamic: dict[str, dict[int, str]]
    keep_scopes: bool


Family = Callable[[Any, torch.dtype], list[Part]]


def family_of(model_type: str) -> Family:
    """The family of a `config.json`'s model_type.

    Raises:
        ValueError: no family is written for it.
    """
    from . import gemma3, llava, mistral3, qwen2_5_vl, qwen3_5, qwen3_vl, smolvlm

    families: dict[str, Family] = {
        "gemma3": gemma3.parts,
        "idefics3": smolvlm.parts,
        "llava": llava.parts,
        "mistral3": mistral3.parts,
        "qwen2_5_vl": qwen2_5_vl.parts,
        "qwen3_5": qwen3_5.parts,
        "qwen3_vl": qwen3_vl.parts,
        "smolvlm": smolvlm.parts,
    }
    if model_type not in families:
        known = ", ".join(sorted(families))
        raise ValueError(f"no export family for model_type {model_type!r}; known: {known}")
    return families[model_type]
