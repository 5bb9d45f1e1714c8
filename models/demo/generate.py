"""Greedy generation over an exported folder with onnxruntime alone: the reference loop for other runtimes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime as ort

DECODERS = {"base": "decoder_model_merged", "reading": "decoder_model_merged_reading"}
"""The demo's decoders by variant."""


@dataclass(frozen=True)
class Exported:
    """The three sessions of a folder."""

    vision: ort.InferenceSession
    embedding: ort.InferenceSession
    decoder: ort.InferenceSession

    @staticmethod
    def open(folder: Path, decoder: str = "decoder_model_merged") -> Exported:
        """Opens the graphs of a folder; `decoder` names the one to use."""
        options = ort.SessionOptions()
        options.log_severity_level = 3
        names = ("vision_encoder", "embed_tokens", decoder)
        return Exported(*(ort.InferenceSession(folder / "onnx" / f"{n}.onnx", options) for n in names))


def generate(
    model: Exported, input_ids: list[int], pixels: np.ndarray, image_token: int, end_token: int, longest: int
) -> list[int]:
    """Greedy tokens after a prompt with one picture, the end token included.

    `pixels` float32 [3, side, side], as the processor gives them.
    """
    ids = np.array([input_ids], np.int64)
    mask = np.ones((1, 1, *pixels.shape[1:]), bool)
    (features,) = model.vision.run(None, {"pixel_values": pixels[None, None], "pixel_attention_mask": mask})
    (embedded,) = model.embedding.run(None, {"input_ids": ids})
    embedded[ids == image_token] = features.reshape(-1, features.shape[-1])
    past = {
        i.name: np.zeros((1, i.shape[1], 0, i.shape[3]), np.float32)
        for i in model.decoder.get_inputs()
        if i.name.startswith("past")
    }
    names = [o.name for o in model.decoder.get_outputs()]
    tokens: list[int] = []
    total = len(input_ids)
    while True:
        steps = embedded.shape[1]
        feeds = {
            "inputs_embeds": embedded,
            "attention_mask": np.ones((1, total), np.int64),
            "position_ids": np.arange(total - steps, total, dtype=np.int64)[None],
        }
        outputs = dict(zip(names, model.decoder.run(None, feeds | past), strict=True))
        tokens.append(int(outputs.pop("logits")[0, -1].argmax()))
        if tokens[-1] == end_token or len(tokens) == longest:
            return tokens
        past = {name.replace("present", "past_key_values"): value for name, value in outputs.items()}
        (embedded,) = model.embedding.run(None, {"input_ids": np.array([tokens[-1:]], np.int64)})
        total += 1
