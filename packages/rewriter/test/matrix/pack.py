"""Packs a small choice of the exports that shows every local structure of all of them: the fixtures beside this file.

    python pack.py OUT_DIR

reads what export.py wrote and writes <torch>-<peft>.zip with <case>/model.onnx, <case>/<input>.npy and <case>/y.npy for
each chosen case, and fixtures.json with what is to be found in them. A local structure is an operator with its
attributes and types and what computes its inputs; of cases that show as much the smallest is taken.
"""

import hashlib
import io
import json
import pathlib
import sys
import zipfile

import numpy
import onnx
from cases import MUTATED, cases, expected_modules
from packaging.version import Version

HERE = pathlib.Path(__file__).parent
DEPTH = 1


def main():
    root = pathlib.Path(sys.argv[1])
    folders = [folder for folder in root.iterdir() if (folder / "cases.json").exists()]
    models = {case.name: case.model for case in cases(dynamo=True)}
    pending = {}
    for folder in sorted(folders, key=versions, reverse=True):
        for case in json.loads((folder / "cases.json").read_text())["cases"]:
            path = folder / f"{case['name']}.onnx"
            if case["status"] == "exported":
                pending[path] = structures(onnx.load(path))
    for old in HERE.glob("*.zip"):
        old.unlink()
    index = {}
    shown = set()
    needed = [root / folder / f"{name}.onnx" for folder, names in MUTATED.items() for name in names]
    while True:
        is_needed = len(needed) > 0
        path = needed.pop() if is_needed else max(pending, key=lambda path: news(pending[path] - shown, path))
        found = pending.pop(path)
        if found <= shown and not is_needed:
            break
        shown |= found
        pack(HERE / f"{path.parent.name}.zip", path.stem, path)
        expected = {"name": path.stem, "modules": expected_modules(**models[path.stem])}
        index.setdefault(path.parent.name, []).append(expected)
    (HERE / "fixtures.json").write_text(json.dumps(index, indent=1, sort_keys=True) + "\n")


def news(structures, path):
    return len(structures) / (2000 + path.stat().st_size)


def versions(folder):
    torch, peft = folder.name.split("-")
    return Version(torch.removeprefix("torch")), Version(peft.removeprefix("peft"))


def structures(model):
    """The local structures of a graph; of tensors, only their type and rank, and small integers."""
    kinds = {}
    for value in model.graph.input:
        kind = value.type.tensor_type
        kinds[value.name] = f"input {kind.elem_type} {len(kind.shape.dim)}"
    for tensor in model.graph.initializer:
        kinds[tensor.name] = describe(tensor)
    producers = {name: node for node in model.graph.node for name in node.output}

    def text(name, depth):
        node = producers.get(name)
        if node is None:
            return kinds.get(name, "")
        attributes = sorted(describe_attribute(attribute) for attribute in node.attribute)
        inputs = [text(value, depth - 1) for value in node.input] if depth > 0 else []
        return f"{node.domain}.{node.op_type}{attributes}({', '.join(inputs)})"

    return {hashlib.sha256(text(name, DEPTH).encode()).digest()[:8] for name in producers}


def describe(tensor):
    values = onnx.numpy_helper.to_array(tensor).tolist() if is_small_integer(tensor) else ""
    return f"tensor {tensor.data_type} {len(tensor.dims)} {values}"


def is_small_integer(tensor):
    return tensor.data_type == onnx.TensorProto.INT64 and numpy.prod(tensor.dims) <= 4


def describe_attribute(attribute):
    if attribute.type == onnx.AttributeProto.TENSOR:
        return f"{attribute.name} {describe(attribute.t)}"
    return f"{attribute.name} {onnx.helper.get_attribute_value(attribute)}"


def pack(archive, name, path):
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        write(file, f"{name}/model.onnx", path.read_bytes())
        arrays = {**numpy.load(path.with_suffix(".npz")), **numpy.load(path.with_suffix(".expected.npz"))}
        for key, array in arrays.items():
            data = io.BytesIO()
            numpy.save(data, array)
            write(file, f"{name}/{key}.npy", data.getvalue())


def write(file, name, data):
    # The same bytes whenever it is run.
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.compress_type = zipfile.ZIP_DEFLATED
    file.writestr(info, data)


if __name__ == "__main__":
    main()
