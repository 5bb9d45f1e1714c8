"""One part of a model to one ONNX graph, by either of PyTorch's exporters."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import onnx
import torch

from .families import Part

KEPT_METADATA = "pkg.torch.onnx.name_scopes"
"""The module path of a node. The rest of the exporter's metadata can be a fifth of a file, and names the paths of the
machine that made it."""
LEGACY_OPSET = 17


@dataclass(frozen=True)
class GraphOptions:
    """`optimize`: let the exporter fold and rename. Off, weights keep their names and layouts."""

    exporter: Literal["dynamo", "legacy"] = "dynamo"
    optimize: bool = False


def export_graph(part: Part, options: GraphOptions) -> onnx.ModelProto:
    """Exports a part; the same part and options give the same bytes."""
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        path = Path(folder) / "model.onnx"
        if options.exporter == "legacy":
            _export_legacy(part, path, options.optimize)
        else:
            _export_dynamo(part, path, options.optimize)
        model = onnx.load(path)
    strip_metadata(model, part.keep_scopes)
    return model


def _export_dynamo(part: Part, path: Path, optimize: bool) -> None:
    names = list(part.inputs)
    shapes = [part.dynamic.get(n) for n in names]
    fixed = _fixed_parameters(part)
    # the tensors of *past are one nested tuple
    dynamic = (*shapes[:fixed], tuple(shapes[fixed:])) if fixed < len(names) else tuple(shapes)
    torch.onnx.export(
        part.module,
        tuple(part.inputs.values()),
        str(path),
        input_names=names,
        output_names=part.outputs,
        dynamic_shapes=dynamic,
        dynamo=True,
        optimize=optimize,
        external_data=False,
        verbose=False,
    )


def _export_legacy(part: Part, path: Path, optimize: bool) -> None:
    torch.onnx.export(
        part.module,
        tuple(part.inputs.values()),
        str(path),
        input_names=list(part.inputs),
        output_names=part.outputs,
        dynamic_axes=part.dynamic,
        dynamo=False,
        opset_version=LEGACY_OPSET,
        do_constant_folding=optimize,
    )


def _fixed_parameters(part: Part) -> int:
    """How many of the forward's parameters stand before a `*rest`."""
    code = type(part.module).forward.__code__
    takes_rest = bool(code.co_flags & 0x04)
    return code.co_argcount - 1 if takes_rest else len(part.inputs)


def strip_metadata(model: onnx.ModelProto, keep_scopes: bool) -> None:
    """Takes away the exporter's metadata, but for the nodes' module paths where they are to be kept."""
    for node in model.graph.node:
        kept = [p.value for p in node.metadata_props if keep_scopes and p.key == KEPT_METADATA]
        del node.metadata_props[:]
        for value in kept:
            node.metadata_props.add(key=KEPT_METADATA, value=value)
        node.doc_string = ""
    for holder in (model, model.graph, *model.graph.value_info, *model.graph.input, *model.graph.output):
        del holder.metadata_props[:]
    for tensor in model.graph.initializer:
        del tensor.metadata_props[:]
        tensor.doc_string = ""
