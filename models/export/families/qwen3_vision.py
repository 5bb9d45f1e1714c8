"""The vision encoder of Qwen3-VL and Qwen3.5: a learned grid of positions, and attention of all patches to all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .qwen_vision import attend, places


def layers(visual: nn.Module, pixel_values: Tensor, grid_thw: Tensor) -> list[Tensor]:
    """The patches [patches, hidden] behind every block, of `pixel_values` [patches, values] in the model's type.

    The learned grid of positions is resampled to the picture's, with its corners kept.
    """
    row, column = places(pixel_values.shape[0], grid_thw, visual.spatial_merge_size)
    hidden = visual.patch_embed(pixel_values)
    hidden = hidden + _learned_positions(visual, row, column, grid_thw).to(hidden.dtype)
    cos, sin = visual.rotary_pos_emb(hidden, torch.stack([row, column], dim=-1))
    outputs = []
    for block in visual.blocks:
        hidden = hidden + attend(block.attn, block.norm1(hidden), cos, sin, None)
        hidden = hidden + block.mlp(block.norm2(hidden))
        outputs.append(hidden)
    return outputs


def _learned_positions(visual: nn.Module, row: Tensor, column: Tensor, grid_thw: Tensor) -> Tensor:
    side = visual.num_grid_per_side
    y, x = _resampled(row, grid_thw[0, 1], side), _resampled(column, grid_thw[0, 2], side)
    total = torch.zeros(())
    for (row_at, row_weight), (column_at, column_weight) in ((i, j) for i in y for j in x):
        corner = visual.pos_embed(row_at * side + column_at)
        total = total + corner * (row_weight * column_weight)[:, None]
    return total


def _resampled(place: Tensor, size: Tensor, side: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The two neighbours on a grid of `side` places, each with its weight."""
    exact = place.float() * ((side - 1) / (size - 1).clamp(min=1).float())
    low = exact.floor().clamp(max=side - 1)
    high = (low + 1).clamp(max=side - 1)
    return (low.long(), 1 - (exact - low)), (high.long(), exact - low)
