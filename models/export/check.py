"""Compares an exported folder with PyTorch: `python -m models.export.check MODEL FOLDER [--adapter DIR]`.

Vision and embedding on random inputs; the decoder through a prefill and five decode steps, batches of one to three,
left-padded. Errors are the largest absolute differences.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from .run import load

TOLERANCE = 1e-4
"""Allowed error as a share of the largest value of PyTorch's output, for float32."""
DECODE_STEPS = 5
PROMPTS = ((1, 2), (1, 33), (2, 7), (3, 20), (1, 120))
"""Batch and length of each prompt tried."""


def session(path: Path) -> ort.InferenceSession:
    """A CPU session without warnings."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def vision_error(model: PreTrainedModel, graph: ort.InferenceSession) -> float:
    """Relative error over one to three prompts of one to five pictures."""
    side, worst = model.config.vision_config.image_size, 0.0
    generator = torch.Generator().manual_seed(0)
    for batch, images in ((1, 1), (1, 5), (2, 3), (3, 1)):
        pixels = torch.randn(batch, images, 3, side, side, generator=generator)
        mask = torch.ones(batch, images, side, side, dtype=torch.bool)
        flat = pixels.flatten(0, 1)
        expected = model.model.connector(model.model.vision_model(flat).last_hidden_state).numpy()
        feeds = {"pixel_values": pixels.numpy(), "pixel_attention_mask": mask.numpy()}
        worst = max(worst, _relative(graph.run(None, feeds)[0], expected))
    return worst


@torch.no_grad()
def embedding_error(model: PreTrainedModel, graph: ort.InferenceSession) -> float:
    """Relative error of the embedding over random tokens."""
    ids = torch.randint(model.config.text_config.vocab_size, (3, 9), generator=torch.Generator().manual_seed(0))
    return _relative(graph.run(None, {"input_ids": ids.numpy()})[0], model.get_input_embeddings()(ids).numpy())


@torch.no_grad()
def decoder_error(model: PreTrainedModel, graph: ort.InferenceSession) -> tuple[float, int]:
    """Relative error of the logits, and how many argmax tokens differ, over every prompt and step."""
    worst, differing = 0.0, 0
    for batch, length in PROMPTS:
        error, others = _decode(model, graph, batch, length)
        worst, differing = max(worst, error), differing + others
    return worst, differing


def _decode(model: PreTrainedModel, graph: ort.InferenceSession, batch: int, length: int) -> tuple[float, int]:
    config = model.config.text_config
    generator = torch.Generator().manual_seed(length)
    current = torch.randint(10, config.vocab_size, (batch, length), generator=generator)
    mask = torch.ones(batch, length, dtype=torch.long)
    for row in range(1, batch):
        mask[row, : min(2 * row, length - 1)] = 0
    inputs = {i.name: i for i in graph.get_inputs()}
    empty = (batch, config.num_key_value_heads, 0, config.head_dim)
    kinds = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
    past = {n: np.zeros(empty, kinds[i.type]) for n, i in inputs.items() if n.startswith("past")}
    cache, worst, differing = DynamicCache(), 0.0, 0
    for _ in range(1 + DECODE_STEPS):
        steps = current.shape[1]
        positions = (mask.cumsum(-1) - 1).masked_fill(mask == 0, 1)[:, -steps:]
        embedded = model.get_input_embeddings()(current)
        result = model(
            inputs_embeds=embedded,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        feeds = {"inputs_embeds": embedded.numpy(), "attention_mask": mask.numpy()}
        outputs = graph.run(None, {**feeds, "position_ids": positions.numpy(), **past})
        named = dict(zip((o.name for o in graph.get_outputs()), outputs, strict=True))
        seen = mask[:, -steps:].bool().numpy()
        expected, logits = result.logits.numpy()[seen], named.pop("logits")[seen]
        worst = max(worst, _relative(logits, expected))
        differing += int((logits.argmax(-1) != expected.argmax(-1)).sum())
        past = {name.replace("present", "past_key_values"): value for name, value in named.items()}
        current = result.logits[:, -1:].argmax(-1)
        mask = torch.cat([mask, torch.ones(batch, 1, dtype=torch.long)], 1)
    return worst, differing


def _relative(actual: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(actual.reshape(expected.shape) - expected).max() / np.abs(expected).max())


def main() -> int:
    """Prints the errors; exit code 1 where one is above the tolerance."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--adapter", type=Path)
    parser.add_argument("--suffix", default="", help="of the decoder's file name")
    parser.add_argument("--tolerance", type=float, default=TOLERANCE)
    options = parser.parse_args()
    model, graphs = load(options.model, options.adapter), options.folder / "onnx"
    errors = {
        "vision_encoder": vision_error(model, session(graphs / "vision_encoder.onnx")),
        "embed_tokens": embedding_error(model, session(graphs / "embed_tokens.onnx")),
    }
    decoder = f"decoder_model_merged{options.suffix}"
    errors[decoder], differing = decoder_error(model, session(graphs / f"{decoder}.onnx"))
    for name, error in errors.items():
        print(f"{name:36} {error:.1e}")
    print(f"{'argmax tokens that differ':36} {differing}")
    return int(max(errors.values()) > options.tolerance)


if __name__ == "__main__":
    raise SystemExit(main())
