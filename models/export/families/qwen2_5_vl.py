"""Qwen2.5-VL: a vision encoder with attention in windows; positions of three axes in the decoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import Part
from .language_model import decoder_part, embedding_part
from .qwen_vision import PictureEncoder, attend, places, vision_part


def parts(model: nn.Module, dtype: torch.dtype) -> list[Part]:
    """The three files of a model in eval mode whose weights are of `dtype`."""
    encoder = vision_part(VisionEncoder(model, dtype), {"image_features": {0: "num_image_tokens"}})
    return [encoder, embedding_part(model), decoder_part(model, dtype, position_axes=3)]


class VisionEncoder(PictureEncoder):
    """`pixel_values` float32 [patches, values], `image_grid_thw` int64 [1, 3] → features float32 [tokens, hidden].

    The windows are a mask here; the model itself sorts the patches by window.
    """

    def forward(self, pixel_values: Tensor, image_grid_thw: Tensor) -> Tensor:
        """Attention in windows but for the blocks that see everything."""
        visual = self.model.visual
        merge = visual.spatial_merge_size
        window = visual.window_size // merge // visual.patch_size
        row, column = places(pixel_values.shape[0], image_grid_thw, merge)
        hidden = nn.functional.linear(pixel_values.to(self.dtype), visual.patch_embed.proj.weight.flatten(1))
        cos, sin = visual.rotary_pos_emb(hidden, torch.stack([row, column], dim=-1))
        down, across = row // merge // window, column // merge // window
        same_window = (down[:, None] == down[None]) & (across[:, None] == across[None])
        for number, block in enumerate(visual.blocks):
            mask = None if number in visual.fullatt_block_indexes else same_window
            hidden = hidden + attend(block.attn, block.norm1(hidden), cos, sin, mask)
            hidden = hidden + block.mlp(block.norm2(hidden))
        return visual.merger(hidden).float()
