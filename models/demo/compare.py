"""Exports the demo again and compares: `python -m models.demo.compare FOLDER`.

The base is restored from FOLDER's own graphs, exported anew, and every file compared byte by byte. The recorded tokens
are compared with what FOLDER's graphs give in onnxruntime. Exit code 1 where anything differs.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from transformers import AutoProcessor

from ..export.restore import restore
from ..export.run import ExportRequest, export
from .generate import DECODERS, Exported, generate
from .record import LONGEST


def export_demo(model: Path, adapter: Path, out: Path) -> None:
    """The demo's export: the base alone, and one more decoder with the reading adapter unmerged."""
    export(ExportRequest(model, out))
    export(ExportRequest(model, out, adapter, only=frozenset({"decoder_model_merged"}), suffix="_reading"))


def differing_files(folder: Path) -> list[str]:
    """Files that a new export does not reproduce byte by byte."""
    with tempfile.TemporaryDirectory() as scratch:
        model, again = Path(scratch) / "model", Path(scratch) / "export"
        restore(folder).save_pretrained(model)
        AutoProcessor.from_pretrained(folder).save_pretrained(model)
        export_demo(model, folder / "adapters" / "reading", again)
        names = [p.relative_to(again) for p in sorted(again.rglob("*")) if p.is_file()]
        kept = [n for n in names if n.name not in ("tokenizer_config.json", "processor_config.json")]
        return [
            str(n) for n in kept if not (folder / n).exists() or (folder / n).read_bytes() != (again / n).read_bytes()
        ]


def differing_tokens(folder: Path, variant: str) -> list[str]:
    """Recorded questions whose tokens onnxruntime does not reproduce, with the recorded gap of the two best logits."""
    config = json.loads((folder / "config.json").read_text())
    model = Exported.open(folder, DECODERS[variant])
    found = []
    for record in json.loads((folder / "recorded" / "questions.json").read_text()):
        picture = np.asarray(Image.open(folder / "recorded" / record["picture"]).convert("RGB"), np.float32)
        pixels = (picture / 255 - 0.5).transpose(2, 0, 1) / 0.5
        ids = record["input_ids"]
        tokens = generate(model, ids, pixels, config["image_token_id"], config["eos_token_id"], LONGEST)
        if tokens != record["tokens"][variant]:
            found.append(f"{record['picture']} {record['question']!r}, gap {record['gap'][variant]}")
    return found


def main() -> int:
    """Prints what differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    files = differing_files(folder)
    print(f"files that differ from a new export: {', '.join(files) or 'none'}")
    differing = 0
    for variant in DECODERS:
        found = differing_tokens(folder, variant)
        differing += len(found)
        print(f"{variant}: recorded questions answered otherwise by onnxruntime: {'; '.join(found) or 'none'}")
    return int(bool(files or differing))


if __name__ == "__main__":
    raise SystemExit(main())
