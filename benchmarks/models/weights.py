"""Random weights for the graphs, made on a GPU: `python weights.py FOLDER` writes FOLDER/weights.bin by weights.json.

Needs PyTorch alone. Magnitudes are rounded to the model's type and are not the norms that they scale: g is between 0.9
and 1.1.
"""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from shape import SCALING, STANDARD_DEVIATION

TYPES = {"BFLOAT16": torch.bfloat16, "FLOAT": torch.float32}
WRITERS = 8


def main(folder: Path) -> None:
    """Module by module, since a magnitude needs its W, A and B."""
    tensors = {entry["name"]: entry for entry in json.loads((folder / "weights.json").read_text())}
    generator = torch.Generator("cuda").manual_seed(0)
    with (
        (folder / "weights.bin").open("wb") as file,
        ThreadPoolExecutor(WRITERS) as pool,
    ):
        last = max(tensors.values(), key=lambda entry: entry["offset"])
        file.truncate(last["offset"] + size(last))
        waiting = []
        for name, value in values(tensors, generator):
            waiting.append(pool.submit(write, folder / "weights.bin", tensors[name], value.cpu()))
        for future in waiting:
            future.result()


def values(tensors: dict[str, dict], generator: torch.Generator):
    """Each tensor and its name."""
    for name, entry in tensors.items():
        dims = entry["dims"]
        if "lora_" in name or name.endswith((".base_layer.weight", "dora_gain.default")):
            continue
        yield (
            name,
            torch.ones(dims, dtype=torch.bfloat16) if len(dims) == 1 else random(dims, generator),
        )
    for name in tensors:
        if not name.endswith(".base_layer.weight"):
            continue
        module = name.removesuffix(".base_layer.weight")
        names = [
            name,
            f"{module}.lora_A.default.weight",
            f"{module}.lora_B.default.weight",
        ]
        weight, a, b = (random(tensors[each]["dims"], generator) for each in names)
        norm = torch.linalg.vector_norm(weight.float() + SCALING * (b.float() @ a.float()), dim=1)
        gain = 0.9 + 0.2 * torch.rand(norm.shape, generator=generator, device="cuda")
        magnitude = (norm * gain).to(torch.bfloat16)
        yield from zip(names, (weight, a, b), strict=True)
        yield f"{module}.lora_magnitude_vector.default.weight", magnitude
        yield f"{module}.dora_gain.default", magnitude.float() / norm


def random(dims: list[int], generator: torch.Generator) -> torch.Tensor:
    """Of the standard deviation that W, A and B have."""
    return torch.randn(dims, generator=generator, device="cuda", dtype=torch.bfloat16) * STANDARD_DEVIATION


def size(entry: dict) -> int:
    """Bytes."""
    return torch.empty(entry["dims"], dtype=TYPES[entry["type"]], device="meta").nbytes


def write(path: Path, entry: dict, value: torch.Tensor) -> None:
    """One tensor to its place."""
    assert list(value.shape) == entry["dims"] and value.dtype == TYPES[entry["type"]], entry
    with path.open("r+b") as file:
        file.seek(entry["offset"])
        file.write(value.view(torch.uint8).numpy().data)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
