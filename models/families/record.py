"""Exports every family's tiny model and records what PyTorch answers.

python -m models.families.record OUT [FAMILY …] [--keep decoder]

`OUT/<family>/<part>_<dtype>.onnx` are the graphs. `OUT/<family>/<dtype>.npz` holds, for a prompt of text alone and one
with a picture, every input of the decoder in a prefill and three decode steps (`text.0.inputs_embeds`, …) and the whole
PyTorch model's logits. `OUT/families.json` says how many modules are adapted, how far the exported graphs in
onnxruntime are from PyTorch, and the versions used. With `--keep decoder` only the decoders stay, as in the fixtures.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import peft
import torch
import transformers
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import DynamicCache

from models.export.check import session
from models.export.families import Part, family_of
from models.export.graph import GraphOptions, export_graph

from .tiny import CONFIGS, IMAGE_TOKEN, adapted_modules, build, picture

DTYPES = {"float32": torch.float32, "float16": torch.float16}
DECODE_STEPS = 3
DECODER = "decoder_model_merged"


def record(family: str, dtype: str, folder: Path) -> dict[str, Any]:
    """Exports and records one family in one type; returns its row of families.json."""
    model = build(family).to(DTYPES[dtype])
    # Before the parts are made: a family may change the model for its export.
    prompts = {prompt: _generate(family, model, with_picture=prompt == "image") for prompt in ("text", "image")}
    parts = {part.name: part for part in family_of(family)(model, DTYPES[dtype])}
    for name, part in parts.items():
        graph = export_graph(part, GraphOptions())
        (folder / f"{name}_{dtype}.onnx").write_bytes(graph.SerializeToString(deterministic=True))
    arrays, cosines = {}, {}
    for prompt, steps in prompts.items():
        cosines[prompt] = _compare(folder, parts, dtype, steps)
        for number, (inputs, logits) in enumerate(steps):
            arrays |= {f"{prompt}.{number}.{name}": value for name, value in inputs.items()}
            arrays[f"{prompt}.{number}.logits"] = logits
    np.savez_compressed(folder / f"{dtype}.npz", **arrays)
    return {
        "modules": len(adapted_modules(model)),
        "cosine": cosines,
        "vision": _vision_cosine(family, model, folder, dtype),
    }


@torch.no_grad()
def _generate(family: str, model: PreTrainedModel, *, with_picture: bool) -> list[tuple[dict[str, Any], Any]]:
    """Prefill and decode steps of the whole model: the decoder's inputs, caught on their way, and the logits.

    The model's own positions (of three axes in Qwen's families) and merged embeddings are what is caught, so the graphs
    are judged against the model as it is, not against a second writing of it.
    """
    generator = torch.Generator().manual_seed(2)
    vision, sizes = picture(family, model)
    tokens = _features(model, vision, sizes).shape[0] if with_picture else 0
    words = torch.randint(20, 64, (1, 9), generator=generator)
    current = torch.cat([words[:, :4], torch.full((1, tokens), IMAGE_TOKEN), words[:, 4:]], dim=1)
    caught: dict[str, Any] = {}
    language_model = model.model.language_model
    hook = language_model.register_forward_pre_hook(lambda _m, _a, kwargs: caught.update(kwargs), with_kwargs=True)
    cache, seen, steps = DynamicCache(config=model.config.get_text_config()), 0, []
    for step in range(1 + DECODE_STEPS):
        length = current.shape[1]
        is_picture = (current == IMAGE_TOKEN).long()
        extra = {**vision, **sizes} if with_picture and step == 0 else {}
        extra = {k: v.to(model.dtype) if v.is_floating_point() else v for k, v in extra.items()}
        if family.startswith("qwen") and step == 0:
            extra["mm_token_type_ids"] = is_picture
        elif family.startswith("qwen"):
            # As generate() does: a picture takes fewer positions than tokens.
            saved = model.model.rope_deltas if with_picture else None
            extra["position_ids"] = torch.full((3, 1, 1), seen + (0 if saved is None else int(saved.item())))
        elif family == "gemma3":
            extra["token_type_ids"] = is_picture
        mask = torch.ones(1, seen + length, dtype=torch.long)
        caught.clear()
        logits = model(input_ids=current, attention_mask=mask, past_key_values=cache, use_cache=True, **extra).logits
        inputs = {
            "inputs_embeds": caught["inputs_embeds"].float(),
            "attention_mask": mask,
            "position_ids": _positions(family, caught.get("position_ids"), seen, length),
            **_extras(family, model, caught, is_picture),
        }
        steps.append(({name: value.numpy() for name, value in inputs.items()}, logits.float().numpy()))
        seen += length
        current = logits[:, -1:].argmax(-1)
        current[current == IMAGE_TOKEN] = 20
    hook.remove()
    return steps


def _positions(family: str, caught: Tensor | None, seen: int, length: int) -> Tensor:
    if family.startswith("qwen") and caught is not None:
        return caught[-3:].long()
    positions = torch.arange(seen, seen + length)[None]
    return positions[None].repeat(3, 1, 1) if family.startswith("qwen") else positions


def _extras(family: str, model: PreTrainedModel, caught: dict[str, Any], is_picture: Tensor) -> dict[str, Tensor]:
    if family == "gemma3":
        return {"token_type_ids": is_picture}
    if family != "qwen3_vl":
        return {}
    layers = len(model.config.vision_config.deepstack_visual_indexes)
    dense = torch.zeros(layers, *is_picture.shape, model.config.text_config.hidden_size)
    for layer, features in enumerate(caught.get("deepstack_visual_embeds") or []):
        dense[layer][is_picture.bool()] = features.reshape(-1, features.shape[-1]).float()
    return {"deepstack_embeds": dense}


@torch.no_grad()
def _features(model: PreTrainedModel, vision: dict[str, Tensor], sizes: dict[str, Tensor]) -> Tensor:
    inputs = {k: v.to(model.dtype) if v.is_floating_point() else v for k, v in {**vision, **sizes}.items()}
    features = model.model.get_image_features(**inputs).pooler_output
    rows = features if isinstance(features, (list, tuple)) else [features]
    return torch.cat([each.reshape(-1, each.shape[-1]) for each in rows]).float()


def _compare(folder: Path, parts: dict[str, Part], dtype: str, steps: list[tuple[dict[str, Any], Any]]) -> float:
    """The smallest cosine of logits between onnxruntime, which keeps its own cache, and PyTorch."""
    decoder = session(folder / f"{DECODER}_{dtype}.onnx")
    past = {
        name: _start(example.numpy(), parts[DECODER].dynamic[name])
        for name, example in parts[DECODER].inputs.items()
        if name.startswith("past")
    }
    names = [o.name for o in decoder.get_outputs()]
    worst = 1.0
    for inputs, expected in steps:
        known = {i.name for i in decoder.get_inputs()}
        feeds = {name: value for name, value in inputs.items() if name in known}
        outputs = dict(zip(names, decoder.run(None, {**feeds, **past}), strict=True))
        worst = min(worst, _cosine(outputs.pop("logits"), expected))
        past = {_as_past(name): value for name, value in outputs.items()}
    return worst


def _start(example: np.ndarray, dynamic: dict[int, str]) -> np.ndarray:
    """A cache's tensor before the first token: a batch of one, no past, zeros."""
    varying = {0: 1, 2: 0} if 2 in dynamic else {0: 1}
    return np.zeros([varying.get(axis, size) for axis, size in enumerate(example.shape)], example.dtype)


def _as_past(present: str) -> str:
    """The input that an output of the cache becomes, as transformers.js names them."""
    return present.replace("present_", "past_").replace("present.", "past_key_values.")


def _vision_cosine(family: str, model: PreTrainedModel, folder: Path, dtype: str) -> float | None:
    """Of the features; None in float16: onnxruntime 1.30's CPU provider casts wrongly in some, and refuses them."""
    if dtype == "float16":
        return None
    vision, sizes = picture(family, model)
    feeds = {name: value.numpy() for name, value in vision.items()}
    output = session(folder / f"vision_encoder_{dtype}.onnx").run(None, feeds)[0]
    return _cosine(output, _features(model, vision, sizes).numpy())


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    x, y = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(x @ y / np.sqrt((x @ x) * (y @ y)))


def main() -> None:
    """Records the families named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("family", nargs="*", help=f"of {', '.join(CONFIGS)} (default: all)")
    parser.add_argument("--keep", choices=("all", "decoder"), default="all")
    options = parser.parse_args()
    table = options.out / "families.json"
    rows = json.loads(table.read_text())["families"] if table.exists() else {}
    for family in options.family or CONFIGS:
        folder = options.out / family
        folder.mkdir(parents=True, exist_ok=True)
        rows[family] = {dtype: record(family, dtype, folder) for dtype in DTYPES}
        print(family, json.dumps(rows[family]), flush=True)
        if options.keep == "decoder":
            for path in folder.glob("*.onnx"):
                if not path.name.startswith(DECODER):
                    path.unlink()
        versions = {
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
            "onnxruntime": ort.__version__,
        }
        table.write_text(json.dumps({"versions": versions, "families": rows}, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
