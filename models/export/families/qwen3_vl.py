"""Qwen3-VL: features of several vision layers are added to the first layers of the decoder (DeepStack)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import Part
from .language_model import BATCH, SEQUENCE, decoder_part, embedding_part
from .qwen3_vision import layers
from .qwen_vision import PictureEncoder, vision_part


def parts(model: nn.Module, dtype: torch.dtype) -> list[Part]:
    """The three files of a model in eval mode whose weights are of `dtype`.

    The vision encoder has a second output, `deepstack_features` float32 [layers, tokens, hidden]. The decoder takes
    `deepstack_embeds` float32 [layers, batch, sequence, hidden]: those features at the places of the picture, zeros
    elsewhere and in decode steps. The model given is changed for that: its own way of adding them is gone.
    """
    vision = model.config.vision_config
    tokens = "num_image_tokens"
    outputs = {"image_features": {0: tokens}, "deepstack_features": {1: tokens}}
    encoder = vision_part(VisionEncoder(model, dtype), outputs)
    count, hidden = len(vision.deepstack_visual_indexes), model.config.text_config.hidden_size
    model.model.language_model._deepstack_process = _add
    decoder = decoder_part(
        model,
        dtype,
        position_axes=3,
        extras={"deepstack_embeds": (torch.zeros(count, 2, 5, hidden), {1: BATCH, 2: SEQUENCE})},
        arguments=_arguments,
    )
    return [encoder, embedding_part(model), decoder]


class VisionEncoder(PictureEncoder):
    """`pixel_values` float32 [patches, values], `image_grid_thw` int64 [1, 3] → features and DeepStack's features."""

    def forward(self, pixel_values: Tensor, image_grid_thw: Tensor) -> tuple[Tensor, Tensor]:
        """DeepStack's layers have a merger each."""
        visual = self.model.visual
        outputs = layers(visual, pixel_values.to(self.dtype), image_grid_thw)
        chosen = enumerate(visual.deepstack_visual_indexes)
        stacked = [visual.deepstack_merger_list[number](outputs[layer]) for number, layer in chosen]
        return visual.merger(outputs[-1]).float(), torch.stack(stacked).float()


def _arguments(attention_mask: Tensor, position_ids: Tensor, deepstack_embeds: Tensor) -> dict[str, Any]:
    return {
        "attention_mask": attention_mask,
        "position_ids": position_ids,
        "visual_pos_masks": attention_mask,
        "deepstack_visual_embeds": list(deepstack_embeds.unbind(0)),
    }


def _add(hidden: Tensor, _mask: Tensor, features: Tensor) -> Tensor:
    """In place of the model's indexing by a mask: the features already lie where they belong."""
    return hidden + features.to(hidden.dtype)
