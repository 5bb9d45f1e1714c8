"""What the vision encoders of Qwen2.5-VL, Qwen3-VL and Qwen3.5 share: one picture a call, of any size.

The models' own code walks over pictures and windows in Python, which fixes their sizes. Here every patch's place is
computed from its number: patches come in squares of `merge` x `merge`, square by square along the rows.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import Part
from .language_model import has_adapter


class PictureEncoder(nn.Module):
    """What an encoder takes of the model. A family's class has the forward: `pixel_values` float32 [patches, values]
    and `image_grid_thw` int64 [1, 3] in, features float32 out.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.visual = model.model.visual
        self.dtype = dtype


def patch_values(vision_config: Any) -> int:
    """How many numbers one patch of `pixel_values` has."""
    return vision_config.in_channels * vision_config.temporal_patch_size * vision_config.patch_size**2


def places(patches: int, grid_thw: Tensor, merge: int) -> tuple[Tensor, Tensor]:
    """Row and column of each patch, int64 [patches], of a picture of `grid_thw` int64 [1, 3] = (1, rows, columns)."""
    number = torch.arange(patches)
    square, inner = number // merge**2, number % merge**2
    squares_a_row = grid_thw[0, 2] // merge
    return square // squares_a_row * merge + inner // merge, square % squares_a_row * merge + inner % merge


def attend(attention: nn.Module, hidden: Tensor, cos: Tensor, sin: Tensor, mask: Tensor | None) -> Tensor:
    """Attention of all patches [patches, hidden] to one another, or to those that `mask` [patches, patches] allows."""
    patches = hidden.shape[0]
    query, key, value = attention.qkv(hidden).reshape(patches, 3, attention.num_heads, -1).permute(1, 2, 0, 3).unbind(0)
    query, key = _rotate(query, cos, sin), _rotate(key, cos, sin)
    out = F.scaled_dot_product_attention(query[None], key[None], value[None], attn_mask=mask)
    return attention.proj(out[0].transpose(0, 1).reshape(patches, -1))


def vision_part(encoder: PictureEncoder, outputs: dict[str, dict[int, str]]) -> Part:
    """The file of an encoder."""
    values = patch_values(encoder.model.visual.config)
    return Part(
        "vision_encoder",
        encoder,
        {"pixel_values": torch.zeros(8 * 12, values), "image_grid_thw": torch.tensor([[1, 8, 12]])},
        list(outputs),
        {"pixel_values": {0: "num_patches"}, "image_grid_thw": {}, **outputs},
        keep_scopes=has_adapter(encoder),
    )


def _rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding in float32, as the models do; x [heads, patches, head_dim]."""
    first, second = x.float().chunk(2, dim=-1)
    return (x.float() * cos.float() + torch.cat([-second, first], dim=-1) * sin.float()).to(x.dtype)
