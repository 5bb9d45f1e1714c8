"""The files beside the graphs, as transformers.js wants them (and Python's transformers reads them, too)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import AutoProcessor, PreTrainedModel


def write_layout(model: PreTrainedModel, source: Path, out: Path) -> None:
    """Writes config, generation config, tokenizer and processor files from a model's folder.

    transformers.js wants the picture processor's settings flat in preprocessor_config.json, with `processor_class`, and
    the chat template inside tokenizer_config.json; transformers 5 writes neither.
    """
    processor = AutoProcessor.from_pretrained(source)
    out.mkdir(parents=True, exist_ok=True)
    processor.save_pretrained(out)
    model.config.save_pretrained(out)
    model.generation_config.save_pretrained(out)
    nested = json.loads((out / "processor_config.json").read_text())
    flat = {**nested["image_processor"], "processor_class": nested["processor_class"]}
    _write(out / "preprocessor_config.json", flat)
    tokenizer_config = json.loads((out / "tokenizer_config.json").read_text())
    tokenizer_config["chat_template"] = processor.chat_template
    _write(out / "tokenizer_config.json", tokenizer_config)


def _write(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")
