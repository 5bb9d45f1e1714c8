"""The PyTorch model back from its exported base: `python -m models.export.restore FOLDER OUT`.

An export without folding keeps every weight under its name, so the graphs are the only copy that has to be stored.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import onnx
import torch
from onnx import external_data_helper, numpy_helper
from transformers import (
    AutoConfig,
    AutoModelForImageTextToText,
    AutoProcessor,
    GenerationConfig,
    PreTrainedModel,
)

PARTS = ("decoder_model_merged", "vision_encoder")


def restore(folder: Path) -> PreTrainedModel:
    """The model of a base export's folder, in float32.

    Raises:
        ValueError: the graphs lack a weight of the architecture that config.json names.
    """
    model = AutoModelForImageTextToText.from_config(AutoConfig.from_pretrained(folder), attn_implementation="sdpa")
    found = {name: value for part in PARTS for name, value in _weights(folder / "onnx" / f"{part}.onnx")}
    for tied, source in model.all_tied_weights_keys.items():
        value = found.get(tied, found.get(source))
        if value is not None:
            found[tied] = found[source] = value
    missing = sorted(set(model.state_dict()) - set(found))
    if missing:
        raise ValueError(f"{folder}: no weight {missing[0]} ({len(missing)} missing); export without --optimize")
    model.load_state_dict({name: found[name] for name in model.state_dict()})
    model.tie_weights()
    model.generation_config = GenerationConfig.from_pretrained(folder)
    return model.eval()


def _weights(graph: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Named initializers; data files are read here, since onnx's own reader refuses files with several hard links."""
    for tensor in onnx.load(graph, load_external_data=False).graph.initializer:
        if external_data_helper.uses_external_data(tensor):
            info = external_data_helper.ExternalDataInfo(tensor)
            with (graph.parent / info.location).open("rb") as file:
                file.seek(info.offset or 0)
                tensor.raw_data = file.read(info.length)
            tensor.data_location = onnx.TensorProto.DEFAULT
        yield tensor.name, torch.from_numpy(numpy_helper.to_array(tensor).copy())


def main() -> None:
    """Restores a folder's model and saves it as transformers does, with its processor."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    restore(options.folder).save_pretrained(options.out)
    AutoProcessor.from_pretrained(options.folder).save_pretrained(options.out)


if __name__ == "__main__":
    main()
