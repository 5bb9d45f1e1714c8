"""What makes a graph fast on ONNX Runtime's CUDA provider: nothing idle, no computed shapes, norms that add."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import RemoveUnusedNodesPass


def fix_reshapes(model: ir.Model) -> None:
    """Gives every Reshape a constant target where the exporter's shapes allow one.

    A computed target is a chain of small nodes on the CPU, in the middle of what could be a CUDA graph. A dimension
    that is the input's at the same place is written 0, one unknown dimension -1.
    """
    targets: dict[tuple[int, ...], ir.Value] = {}
    for node in model.graph:
        if node.op_type != "Reshape" or node.domain:
            continue
        before, after = node.inputs[0].shape, node.outputs[0].shape
        if before is None or after is None or node.inputs[1].is_initializer():
            continue
        target = [_dimension(i, dim, before) for i, dim in enumerate(after)]
        if target.count(-1) > 1:
            continue
        key = tuple(target)
        if key not in targets:
            name = "reshape_" + "_".join("any" if dim < 0 else str(dim) for dim in key)
            targets[key] = ir.Value(name=name, const_value=ir.tensor(np.array(key, np.int64), name=name))
            model.graph.register_initializer(targets[key])
        node.replace_input_with(1, targets[key])
        node.attributes.pop("allowzero", None)
    RemoveUnusedNodesPass()(model)


def _dimension(index: int, dim: int | ir.SymbolicDim, before: ir.Shape) -> int:
    if isinstance(dim, int):
        return dim
    return 0 if index < len(before) and before[index] == dim else -1


def drop_idle_casts(model: ir.Model) -> None:
    """Takes away Casts to the type that is there."""
    for node in list(model.graph):
        if node.op_type != "Cast" or node.inputs[0].dtype != node.attributes["to"].as_int():
            continue
        before, after = node.inputs[0], node.outputs[0]
        if after.is_graph_output():
            name = after.name
            after.name, before.name = f"{name}_cast", name
        after.replace_all_uses_with(before, replace_graph_outputs=True)
        model.graph.remove(node, safe=True)


def fuse_residuals(model: ir.Model) -> None:
    """Add, then SimplifiedLayerNormalization: one SkipSimplifiedLayerNormalization, which hands on the sum as well."""
    for norm in list(model.graph):
        if norm.op_type != "SimplifiedLayerNormalization":
            continue
        add = norm.inputs[0].producer()
        if add is None or add.op_type != "Add" or any(value.shape != norm.inputs[0].shape for value in add.inputs):
            continue
        fused = ir.node(
            "SkipSimplifiedLayerNormalization",
            [*add.inputs, norm.inputs[1]],
            {"epsilon": norm.attributes["epsilon"].as_float()},
            domain="com.microsoft",
            num_outputs=4,
            metadata_props=dict(norm.metadata_props),
        )
        for old, new in ((norm.outputs[0], fused.outputs[0]), (add.outputs[0], fused.outputs[3])):
            new.name, new.shape, new.dtype = f"{old.name}_fused", old.shape, old.dtype
            old.replace_all_uses_with(new)
        for unused in fused.outputs[1:3]:
            unused.name = ""
        model.graph.insert_before(norm, fused)
        model.graph.remove([norm, add], safe=True)
    model.opset_imports.setdefault("com.microsoft", 1)
