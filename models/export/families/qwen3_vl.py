"""Qwen3-VL: features of several vision layers are added to the first layers of the decoder (DeepStack)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from . import Part
from .language_model import BATCH, SEQUENCE, decoder_part, embedding_part
from .qwen_vision import attend, places, vision_part


def parts(model: nn.Module, dtype: torch.dtype) -> list[Part]:
    """The three files of a model in eval mode whose weights are of `dtype`.

    The vision encoder has a second output, `deepstack_features` float32 [layers, tokens, hidden]. The decoder takes
    `deepstack_embeds` float32 [layers, batch, sequence, hidden]: those features at the places of the picture, zeros
    elsewhere and in decode steps. The model given is changed for that: its own way of adding them is gone.
    """
    vision = model.config.vision_config
    values = vision.in_channels * vision.temporal_patch_size * vision.patch_size**2
    tokens = "num_image_tokens"
    encoder = vision_part(
        VisionEncoder(model, dtype), values, {"image_features": {0: tokens}, "deepstack_features": {1: tokens}}
    )
    layers, hidden = len(vision.deepstack_visual_indexes), model.config.text_config.hidden_size
    model.model.language_model._deepstack_process = _add
    decoder = decoder_part(
        model,
        dtype,
        position_axes=3,
        extras={"deepstack_embeds": (torch.zeros(layers, 2, 5, hidden), {1: BATCH, 2: SEQUENCE})},
        arguments=_arguments,
    )
    return [encoder, embedding_part(model), decoder]


class VisionEncoder(nn.Module):
    """`pixel_values` float32 [patches, values], `image_grid_thw` int64 [1, 3] → features and DeepStack's features."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.visual = model.model.visual
        self.dtype = dtype

    def forward(self, pixel_values: Tensor, image_grid_thw: Tensor) -> tuple[Tensor, Tensor]:
        """The learned grid of positions is resampled to the picture's, with its corners kept."""
        visual = self.model.visual
        row, column = places(pixel_values.shape[0], image_grid_thw, visual.spatial_merge_size)
        hidden = visual.patch_embed(pixel_values.to(self.dtype))
        hidden = hidden + self._learned_positions(row, column, image_grid_thw).to(hidden.dtype)
        cos, sin = visual.rotary_pos_emb(hidden, torch.stack([row, column], dim=-1))
        stacked = []
        for number, block in enumerate(visual.blocks):
            hidden = hidden + attend(block.attn, block.norm1(hidden), cos, sin, None)
            hidden = hidden + block.mlp(block.norm2(hidden))
            if number in visual.deepstack_visual_indexes:
                stacked.append(visual.deepstack_merger_list[len(stacked)](hidden))
        return visual.merger(hidden).float(), torch.stack(stacked).float()

    def _learned_positions(self, row: Tensor, column: Tensor, grid_thw: Tensor) -> Tensor:
        side = self.model.visual.num_grid_per_side
        y, x = _resampled(row, grid_thw[0, 1], side), _resampled(column, grid_thw[0, 2], side)
        total = torch.zeros(())
        for (row_at, row_weight), (column_at, column_weight) in ((i, j) for i in y for j in x):
            corner = self.model.visual.pos_embed(row_at * side + column_at)
            total = total + corner * (row_weight * column_weight)[:, None]
        return total


def _resampled(place: Tensor, size: Tensor, side: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The two neighbours on a grid of `side` places, each with its weight."""
    exact = place.float() * ((side - 1) / (size - 1).clamp(min=1).float())
    low = exact.floor().clamp(max=side - 1)
    high = (low + 1).clamp(max=side - 1)
    return (low.long(), 1 - (exact - low)), (high.long(), exact - low)


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
