"""Gemma 3: SigLIP's patches pooled to a fixed number of tokens; a decoder with sliding windows, in which the tokens of
one picture see one another in both directions."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from . import Part
from .fixed_size_vision import vision_part
from .language_model import BOTH, decoder_part, embedding_part


def parts(model: nn.Module, dtype: torch.dtype) -> list[Part]:
    """The three files of a model in eval mode whose weights are of `dtype`.

    The decoder takes `token_type_ids` int64 [batch, sequence] besides: 1 at the places of pictures, 0 elsewhere.
    """
    vision = vision_part(model, dtype, ["vision_tower", "multi_modal_projector"], _features)
    decoder = decoder_part(
        model,
        dtype,
        extras={"token_type_ids": (torch.zeros(2, 5, dtype=torch.long), BOTH)},
        arguments=partial(_arguments, model.config.text_config.sliding_window),
    )
    return [vision, embedding_part(model), decoder]


def _features(model: nn.Module, _config: object, pixels: Tensor) -> Tensor:
    return model.multi_modal_projector(model.vision_tower(pixels).last_hidden_state)


def _arguments(window: int, attention_mask: Tensor, position_ids: Tensor, token_type_ids: Tensor) -> dict[str, Any]:
    """Masks [batch, 1, sequence, total], true where a token may look."""
    total, length = attention_mask.shape[1], token_type_ids.shape[1]
    key = torch.arange(total)[None, None]
    query = (total - length + torch.arange(length))[None, :, None]
    picture = token_type_ids == 1
    starts = picture & ~F.pad(picture, (1, 0))[:, :-1]
    group = torch.where(picture, starts.long().cumsum(-1), 0)
    all_groups = F.pad(group, (total - length, 0))
    same_picture = (group[:, :, None] == all_groups[:, None]) & (group > 0)[:, :, None]
    visible = attention_mask.bool()[:, None]
    # A padded token looks at itself: a row without any key would be NaN, and spread through the cache.
    itself = key == query
    full = (((key <= query) | same_picture) & visible) | itself
    near = ((((key <= query) & (key > query - window)) | same_picture) & visible) | itself
    return {
        "attention_mask": {"full_attention": full[:, None], "sliding_attention": near[:, None]},
        "position_ids": position_ids,
    }
