"""Records what PyTorch answers, for tests without PyTorch: `python -m models.demo.record FOLDER`.

FOLDER is the demo's export; its base is restored from the graphs. Writes FOLDER/recorded:

- pictures/*.png: the pictures asked about;
- questions.json: for every question its picture, task, right answer, prompt token ids, and for the base and each
  adapter the tokens of PyTorch's greedy `generate` and the smallest gap between the two best logits on the way;
- pixels.npz: what Python's processor makes of a few pictures of other sizes (sizes/*.png), float32 [3, 128, 128] each.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from PIL import Image
from transformers import AutoProcessor, Idefics3Processor, PreTrainedModel

from ..export.restore import restore
from .dataset import Example, example, held_out
from .draw import draw
from .model import ADAPTERS
from .questions import Question, Task

QUESTIONS: dict[Task, int] = {"plain": 120, "reading": 60, "counting": 60}
LONGEST = 32
"""`max_new_tokens` of the recorded generations."""
SIZES = ((128, 128), (320, 240), (200, 300), (96, 96), (640, 640))


def main() -> None:
    """Records the base first, then each adapter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    out: Path = options.folder / "recorded"
    (out / "pictures").mkdir(parents=True, exist_ok=True)
    processor = AutoProcessor.from_pretrained(options.folder)
    asked = [(task, item) for task, count in QUESTIONS.items() for item in held_out(task, count, "recorded")]
    prompts = [_prompt(processor, out, task, item, i) for i, (task, item) in enumerate(asked)]
    records = [record for record, _ in prompts]
    for name in ("base", *ADAPTERS):
        model = restore(options.folder)  # anew for each adapter, since PEFT changes it in place
        if name != "base":
            model = PeftModel.from_pretrained(model, options.folder / "adapters" / name).eval()
        for record, inputs in prompts:
            tokens, gap = _greedy(model, inputs)
            record["tokens"][name], record["gap"][name] = tokens, gap
        right = sum(r["answer"] == processor.decode(r["tokens"][name][:-1]) for r in records)
        print(f"{name}: {right} of {len(records)} answers right", flush=True)
    lines = ",\n".join(json.dumps(record) for record in records)
    (out / "questions.json").write_text(f"[\n{lines}\n]\n")
    _record_pixels(processor, out)


def _prompt(
    processor: Idefics3Processor, out: Path, task: Task, item: tuple[Example, Question], index: int
) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    found, question = item
    picture = f"pictures/{index:03}.png"
    image = draw(found.scene)
    image.save(out / picture, optimize=True)
    turn = {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": question.text}]}
    text = processor.apply_chat_template([turn], add_generation_prompt=True)
    inputs = processor(text=text, images=[image], return_tensors="pt")
    record = {
        "picture": picture,
        "task": task,
        "question": question.text,
        "answer": question.answer,
        "input_ids": inputs["input_ids"][0].tolist(),
        "tokens": {},
        "gap": {},
    }
    return record, inputs


def _greedy(model: PreTrainedModel, inputs: dict[str, torch.Tensor]) -> tuple[list[int], float]:
    result = model.generate(
        **inputs, max_new_tokens=LONGEST, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    best = torch.stack(result.logits).squeeze(1).topk(2).values
    gap = (best[:, 0] - best[:, 1]).min().item()
    return result.sequences[0, inputs["input_ids"].shape[1] :].tolist(), round(gap, 5)


def _record_pixels(processor: Idefics3Processor, out: Path) -> None:
    (out / "sizes").mkdir(exist_ok=True)
    pixels: dict[str, np.ndarray] = {}
    for i, size in enumerate(SIZES):
        name = f"{size[0]}x{size[1]}"
        image = draw(example("recorded", "simple", 1000 + i).scene).resize(size, Image.Resampling.BICUBIC)
        image.save(out / "sizes" / f"{name}.png", optimize=True)
        inputs = processor(text="<image>", images=[image], return_tensors="np")
        pixels[name] = inputs["pixel_values"][0, 0]
    np.savez_compressed(out / "pixels.npz", **pixels)


if __name__ == "__main__":
    main()
