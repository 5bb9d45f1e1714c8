"""Mistral Small 3 with Pixtral's vision encoder: one picture a call, of any size that the patches divide."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from . import Part
from .language_model import decoder_part, embedding_part, has_adapter


def parts(model: nn.Module, dtype: torch.dtype) -> list[Part]:
    """The three files of a model in eval mode whose weights are of `dtype`."""
    return [_vision(model, dtype), embedding_part(model), decoder_part(model, dtype)]


class VisionEncoder(nn.Module):
    """`pixel_values` float32 [1, 3, height, width] → features float32 [tokens, hidden], row by row.

    With one picture there is nothing that patches must not see, so the attention needs no mask; the patches are merged
    by reshaping, since the model's own loop over pictures fixes their sizes.
    """

    def __init__(self, model: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.vision_tower = model.model.vision_tower
        self.model.multi_modal_projector = model.model.multi_modal_projector
        self.merge = model.config.spatial_merge_size
        self.dtype = dtype

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Patches, transformer, merged squares of patches, projector."""
        tower, projector = self.model.vision_tower, self.model.multi_modal_projector
        patches = tower.patch_conv(pixel_values.to(self.dtype))
        rows, columns = patches.shape[2], patches.shape[3]
        hidden = tower.ln_pre(patches.flatten(2).transpose(1, 2))
        row, column = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
        positions = torch.stack([row.flatten(), column.flatten()], dim=-1)
        embeddings = tower.patch_positional_embedding(hidden, positions)
        hidden = tower.transformer(hidden, attention_mask=None, position_embeddings=embeddings).last_hidden_state
        return self._project(projector, hidden[0], rows, columns).float()

    def _project(self, projector: nn.Module, hidden: Tensor, rows: int, columns: int) -> Tensor:
        merge, width = self.merge, hidden.shape[-1]
        squares = projector.norm(hidden).reshape(rows // merge, merge, columns // merge, merge, width)
        merged = projector.patch_merger.merging_layer(squares.permute(0, 2, 4, 1, 3).reshape(-1, width * merge**2))
        return projector.linear_2(projector.act(projector.linear_1(merged)))


def _vision(model: nn.Module, dtype: torch.dtype) -> Part:
    encoder = VisionEncoder(model, dtype)
    step = model.config.vision_config.patch_size * model.config.spatial_merge_size
    return Part(
        "vision_encoder",
        encoder,
        {"pixel_values": torch.zeros(1, 3, 2 * step, 3 * step)},
        ["image_features"],
        {"pixel_values": {2: "height", 3: "width"}, "image_features": {0: "num_image_tokens"}},
        keep_scopes=has_adapter(encoder),
    )
