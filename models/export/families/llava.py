"""LLaVA: CLIP's patches through a projector, and a Llama decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import Part
from .fixed_size_vision import vision_part
from .language_model import decoder_part, embedding_part


def parts(model: nn.Module, dtype: torch.dtype) -> list[Part]:
    """The three files of a model in eval mode whose weights are of `dtype`."""
    vision = vision_part(model, dtype, ["vision_tower", "multi_modal_projector"], _features)
    return [vision, embedding_part(model), decoder_part(model, dtype)]


def _features(model: nn.Module, config: object, pixels: Tensor) -> Tensor:
    """The layer that the configuration names, without the class token if it says so."""
    states = model.vision_tower(pixels, output_hidden_states=True).hidden_states
    layers = config.vision_feature_layer
    chosen = [states[layers]] if isinstance(layers, int) else [states[layer] for layer in layers]
    first = 1 if config.vision_feature_select_strategy == "default" else 0
    return model.multi_modal_projector(torch.cat([each[:, first:] for each in chosen], dim=-1))
