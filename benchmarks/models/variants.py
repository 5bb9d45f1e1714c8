"""The graphs to compare, from the rewritten one: `python -m benchmarks.models.variants FOLDER`.

unmerged        DoraLinear, the gains stored (as `--scale stored` would, where the weights are at hand)
merged          the same graph without adapters: ONNX Runtime's own product with W as it lies, [out, in]
merged-in-out   the same with W [in, out], as exporters that fold transposes leave it
merged-kernel   without adapters, through DoraLinear: rank 0 and gains of 1

They share one data file: a merged W is another matrix of the same size, and only time is asked here.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedFunctionsPass, RemoveUnusedNodesPass

from .export import ALIGNMENT, DATA

MICROSOFT = "com.microsoft"
IN_OUT = ".in_out"
"""Ends the name of a weight that is read as [in, out]."""

Change = Callable[[ir.Graph, ir.Node], None]


def variants(folder: Path) -> None:
    """Writes the graphs, and adds the gains to weights.json."""
    weights = json.loads((folder / "weights.json").read_text())
    gains = place_gains(folder, weights)
    changes: dict[str, Change] = {
        "unmerged": lambda graph, node: store_gain(graph, node, gains),
        "merged": lambda graph, node: product(graph, node, transposed=True),
        "merged-in-out": lambda graph, node: product(graph, node, transposed=False),
        "merged-kernel": without_adapter,
    }
    for name, change in changes.items():
        model = ir.load(folder / "rewritten.onnx")
        for node in list(model.graph):
            if node.op_type == "DoraLinear":
                change(model.graph, node)
            elif node.op_type == "MatMul" and (turned := node.inputs[1].producer()) and turned.op_type == "Transpose":
                node.replace_input_with(1, turned.inputs[0])  # the head
                as_product(node)
        RemoveUnusedNodesPass()(model)
        RemoveUnusedFunctionsPass()(model)
        (folder / f"{name}.onnx").write_bytes(ir.to_proto(model).SerializeToString(deterministic=True))
    (folder / "weights.json").write_text(json.dumps(weights, indent=0))


def place_gains(folder: Path, weights: list[dict]) -> dict[str, tuple[int, int]]:
    """The offset and length of each module's gains, by the name that the rewriter gave them."""
    last = weights[-1]
    offset = last["offset"] + 2 * int(np.prod(last["dims"]))
    gains = {}
    for node in ir.load(folder / "rewritten.onnx").graph:
        if node.op_type != "DoraScale":
            continue
        offset += -offset % ALIGNMENT
        count = node.inputs[3].shape.numpy()[0]
        name = node.outputs[0].name
        gains[name] = (offset, count)
        weights.append({"name": name, "type": "FLOAT", "dims": [count], "offset": offset})
        offset += 4 * count
    return gains


def store_gain(graph: ir.Graph, node: ir.Node, gains: dict[str, tuple[int, int]]) -> None:
    """In the place of DoraScale, which would run every time."""
    name = node.inputs[4].name
    offset, count = gains[name]
    stored = ir.ExternalTensor(
        DATA,
        offset,
        4 * count,
        ir.DataType.FLOAT,
        shape=ir.Shape([count]),
        name=f"{name}.stored",
    )
    node.replace_input_with(4, initializer(graph, stored))


def without_adapter(graph: ir.Graph, node: ir.Node) -> None:
    """Rank 0."""
    out, into = node.inputs[1].shape.numpy()
    name = node.inputs[1].name
    kind = node.inputs[1].const_value.dtype
    empty = np.zeros(0, kind.numpy())
    parts = [
        ir.Tensor(empty.reshape(0, into), dtype=kind, name=f"{name}.A"),
        ir.Tensor(empty.reshape(out, 0), dtype=kind, name=f"{name}.B"),
        ir.Tensor(np.ones(out, np.float32), name=f"{name}.g"),
    ]
    for place, tensor in enumerate(parts, start=2):
        node.replace_input_with(place, initializer(graph, tensor))


def product(graph: ir.Graph, node: ir.Node, *, transposed: bool) -> None:
    """W alone."""
    weight = node.inputs[1]
    if not transposed:
        stored = weight.const_value
        turned = ir.Shape(list(reversed(stored.shape.numpy())))
        weight = initializer(
            graph,
            ir.ExternalTensor(
                DATA,
                stored.offset,
                stored.length,
                stored.dtype,
                shape=turned,
                name=weight.name + IN_OUT,
            ),
        )
    plain = ir.node("MatMul", [node.inputs[0], weight])
    plain.outputs[0].name = f"{node.outputs[0].name}_merged"
    if transposed:
        as_product(plain)
    node.outputs[0].replace_all_uses_with(plain.outputs[0])
    graph.insert_before(node, plain)
    graph.remove(node, safe=True)


def as_product(node: ir.Node) -> None:
    """MatMul that reads its second factor transposed."""
    node.op_type, node.domain = "FusedMatMul", MICROSOFT
    node.attributes["transB"] = ir.AttrInt64("transB", 1)


def initializer(graph: ir.Graph, tensor: ir.TensorProtocol) -> ir.Value:
    """A new one, under the tensor's name."""
    value = ir.Value(
        name=tensor.name,
        shape=tensor.shape,
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    variants(parser.parse_args().folder)
