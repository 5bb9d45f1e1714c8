"""External weights: large initializers go to a data file, each content once, found again by later files."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnx
from onnx import TensorProto, external_data_helper

EXTERNAL_FROM = 100_000
"""Initializers of at least this many bytes are stored outside; adapters' stay inside the graph's own file."""
ALIGNMENT = 4096


@dataclass(frozen=True)
class Stored:
    """Where a tensor's bytes lie."""

    location: str
    offset: int
    length: int


class WeightFolder:
    """The data files of one folder. Tensors with equal bytes share a place, whichever graph asked first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, Stored] = {}

    def learn(self, graph: Path) -> None:
        """Takes note of the tensors that an existing graph stores outside."""
        model = onnx.load(graph, load_external_data=False)
        for tensor in model.graph.initializer:
            if external_data_helper.uses_external_data(tensor):
                info = external_data_helper.ExternalDataInfo(tensor)
                stored = Stored(info.location, info.offset or 0, info.length)
                with (self.folder / stored.location).open("rb") as file:
                    file.seek(stored.offset)
                    self.known[_digest(file.read(stored.length))] = stored

    def save(self, model: onnx.ModelProto, name: str) -> None:
        """Writes `name`, and what is new of its weights to `name` + `_data`.

        Order and alignment depend on the model alone, so that files are reproducible.
        """
        location = f"{name}_data"
        data = bytearray()
        for tensor in model.graph.initializer:
            if len(tensor.raw_data) >= EXTERNAL_FROM:
                digest = _digest(tensor.raw_data)
                if digest not in self.known:
                    data.extend(bytes(-len(data) % ALIGNMENT))
                    self.known[digest] = Stored(location, len(data), len(tensor.raw_data))
                    data.extend(tensor.raw_data)
                _point(tensor, self.known[digest])
        self.folder.mkdir(parents=True, exist_ok=True)
        if data:
            (self.folder / location).write_bytes(bytes(data))
        (self.folder / name).write_bytes(model.SerializeToString(deterministic=True))


def _point(tensor: TensorProto, stored: Stored) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key in ("location", "offset", "length"):
        tensor.external_data.add(key=key, value=str(getattr(stored, key)))


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
