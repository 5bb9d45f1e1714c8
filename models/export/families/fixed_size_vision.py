"""Vision encoders whose pictures all have the size that the configuration names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from . import Part
from .language_model import has_adapter

Features = Callable[[nn.Module, object, Tensor], Tensor]
"""From the modules, the model's configuration and pixels of the model's type to features [images, tokens, hidden]."""


class VisionEncoder(nn.Module):
    """`pixel_values` float32 [images, 3, side, side] → features float32 [images, tokens, hidden]."""

    def __init__(self, model: nn.Module, dtype: torch.dtype, modules: Sequence[str], features: Features) -> None:
        super().__init__()
        self.model = nn.Module()
        for name in modules:
            setattr(self.model, name, getattr(model.model, name))
        self.config = model.config
        self.features = features
        self.dtype = dtype

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Casts at both borders."""
        return self.features(self.model, self.config, pixel_values.to(self.dtype)).float()


def vision_part(model: nn.Module, dtype: torch.dtype, modules: Sequence[str], features: Features) -> Part:
    """The file of a vision encoder made of some of the model's modules."""
    encoder = VisionEncoder(model, dtype, modules, features)
    side = model.config.vision_config.image_size
    images = {0: "num_images"}
    return Part(
        "vision_encoder",
        encoder,
        {"pixel_values": torch.zeros(2, 3, side, side)},
        ["image_features"],
        {"pixel_values": images, "image_features": images},
        keep_scopes=has_adapter(encoder),
    )
