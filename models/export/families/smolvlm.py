"""SmolVLM and Idefics3: vision encoder with connector, token embedding, decoder with KV cache."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import Part
from .language_model import BATCH, decoder_part, embedding_part, has_adapter


def parts(model: nn.Module, dtype: torch.dtype) -> list[Part]:
    """The three files of a model in eval mode whose weights are of `dtype`."""
    return [_vision(model, dtype), embedding_part(model), decoder_part(model, dtype, attribute="text_model")]


class VisionEncoder(nn.Module):
    """`pixel_values` float32 [batch, images, 3, side, side] → features [batch·images, tokens, hidden]."""

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.vision_model = model.model.vision_model
        self.model.connector = model.model.connector
        self.patch = model.config.vision_config.patch_size
        self.dtype = dtype

    def forward(self, pixel_values: Tensor, pixel_attention_mask: Tensor) -> Tensor:
        """A patch counts where any of its pixels does."""
        batch, images, channels, height, width = pixel_values.shape
        pixels = pixel_values.reshape(batch * images, channels, height, width).to(self.dtype)
        rows, columns = height // self.patch, width // self.patch
        mask = pixel_attention_mask.reshape(batch * images, rows, self.patch, columns, self.patch)
        mask = mask.permute(0, 1, 3, 2, 4).flatten(3).any(-1)
        features = self.model.vision_model(pixel_values=pixels, patch_attention_mask=mask).last_hidden_state
        return self.model.connector(features).float()


def _vision(model: nn.Module, dtype: torch.dtype) -> Part:
    side = model.config.vision_config.image_size
    many = {0: BATCH, 1: "num_images"}
    return Part(
        "vision_encoder",
        VisionEncoder(model, dtype),
        # 2 x 3 pictures: an example size of one would be taken for a constant
        {
            "pixel_values": torch.zeros(2, 3, 3, side, side),
            "pixel_attention_mask": torch.ones(2, 3, side, side, dtype=torch.bool),
        },
        ["image_features"],
        {"pixel_values": many, "pixel_attention_mask": many, "image_features": {0: "num_images_total"}},
        keep_scopes=has_adapter(model.model.vision_model),
    )
