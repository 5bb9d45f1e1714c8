"""Exports a model, with or without an adapter, to a transformers.js folder.

python -m models.export MODEL OUT                            the model alone
python -m models.export MODEL OUT --adapter PEFT_DIR         with the adapter's layers unmerged in the graphs
… --only decoder_model_merged --suffix _reading              one more decoder into the same folder, sharing weights
"""

from __future__ import annotations

import argparse
from pathlib import Path

from .graph import GraphOptions
from .run import ExportRequest, export


def main() -> None:
    """Parses the command line and exports."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of the base model, as saved by transformers")
    parser.add_argument("out", type=Path)
    parser.add_argument("--adapter", type=Path, help="PEFT folder")
    parser.add_argument("--exporter", choices=("dynamo", "legacy"), default="dynamo")
    parser.add_argument("--optimize", action="store_true", help="let the exporter fold and rename weights")
    parser.add_argument("--dtype", choices=("fp32", "fp16"), default="fp32")
    parser.add_argument("--only", action="append", help="names of the parts to export (default: all)")
    parser.add_argument("--suffix", default="", help="added to the file names, before .onnx")
    options = parser.parse_args()
    written = export(
        ExportRequest(
            model=options.model,
            out=options.out,
            adapter=options.adapter,
            graph=GraphOptions(options.exporter, options.optimize),
            dtype=options.dtype,
            only=frozenset(options.only or ()),
            suffix=options.suffix,
        )
    )
    for path in written:
        print(f"{path.stat().st_size:>10} {path}")


if __name__ == "__main__":
    main()
