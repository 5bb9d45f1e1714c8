"""Exports the matrix of small models of cases.py with the torch and the PEFT that are installed.

    python export.py OUT_DIR [REGEX]

writes OUT_DIR/<torch>-<peft>/<case>.onnx, the inputs in <case>.npz, PyTorch's float64 result in <case>.expected.npz, and
cases.json: what was exported, how many modules are to be found, and why a case could not be exported.
"""

import inspect
import json
import logging
import pathlib
import re
import sys
import time
import warnings

import changes
import numpy
import onnx
import peft
import torch
from cases import cases, expected_modules
from models import DTYPES, adapted, norm_cached, unsupported

KEPT_METADATA = {"pkg.torch.onnx.name_scopes", "pkg.onnxscript.optimizer.folded_from"}


def main():
    folder = pathlib.Path(sys.argv[1]) / f"torch{version(torch)}-peft{version(peft)}"
    folder.mkdir(parents=True, exist_ok=True)
    pattern = re.compile(sys.argv[2] if len(sys.argv) > 2 else "")
    listing = folder / "cases.json"
    # A part of the cases is added to what is there.
    before = json.loads(listing.read_text())["cases"] if pattern.pattern and listing.exists() else []
    records = [record for record in before if not pattern.search(record["name"])]
    for case in cases(dynamo=has_dynamo()):
        if pattern.search(case.name):
            records.append(attempt(case, folder))
            print(folder.name, json.dumps(records[-1]), flush=True)
    environment = {"torch": torch.__version__, "peft": peft.__version__, "onnx": onnx.__version__}
    listing.write_text(json.dumps({**environment, "cases": records}, indent=1) + "\n")


def attempt(case, folder):
    record = {"name": case.name, "exporter": case.exporter, "opset": case.opset, "optimize": case.optimize}
    reason = unsupported(**case.model)
    if reason is not None:
        return {**record, "status": "absent", "reason": reason}
    try:
        start = time.time()
        export(case, folder)
        return {
            **record,
            "status": "exported",
            "modules": len(expected_modules(**case.model)),
            "seconds": round(time.time() - start, 2),
        }
    except changes.NotApplicable as error:
        return {**record, "status": "absent", "reason": str(error)}
    except InvalidExportError as error:
        return {**record, "status": "invalid", "reason": str(error)}
    except Exception as error:  # Exporters raise whatever they like.
        return {**record, "status": "failed", "reason": f"{type(error).__name__}: {error}".splitlines()[0][:200]}


def export(case, folder):
    torch.manual_seed(1)
    model = adapted(**case.model)
    dtype = DTYPES[case.model.get("dtype", "float32")]
    sizes = {2: (5,), 3: (2, 3), 4: (2, 1, 3)}[case.rank]
    x = torch.randn((*sizes, case.model.get("inputs", 24))).to(dtype)
    path = folder / f"{case.name}.onnx"
    with torch.no_grad(), norm_cached(case.model.get("warm", False)):
        if case.model.get("warm", False):
            model(x)
        write(case, model, x, path)
    proto = onnx.load(path)
    strip(proto)
    adapters = {}
    for change in case.changes:
        before = {tensor.name: tensor for tensor in proto.graph.initializer}
        getattr(changes, change)(proto)
        given = {value.name for value in proto.graph.input} & set(before)
        given -= {tensor.name for tensor in proto.graph.initializer}
        adapters |= {name: onnx.numpy_helper.to_array(before[name]) for name in given}
    onnx.save(proto, path)
    refuse_integer_weights(proto.graph)
    with torch.no_grad():
        y = model.double()(x.double()).numpy()
    # Models without weights of their own (adapters as inputs) are fed those of the export.
    arrays = {name: array for name, array in adapters.items() if array.dtype.kind == "f"}
    numpy.savez_compressed(folder / f"{case.name}.npz", x=x.float().numpy(), **arrays)
    numpy.savez_compressed(folder / f"{case.name}.expected.npz", y=y)


def write(case, model, x, path):
    axes = ["batch", "group", "seq"]
    dynamic = {2: {0: "rows"}, 3: {0: axes[0], 1: axes[2]}, 4: dict(enumerate(axes))}[case.rank]
    names = {"input_names": ["x"], "output_names": ["y"], "opset_version": case.opset}
    if case.exporter == "legacy":
        dynamo = {"dynamo": False} if has_dynamo() else {}
        torch.onnx.export(
            model, (x,), str(path), do_constant_folding=case.optimize, dynamic_axes={"x": dynamic}, **dynamo, **names
        )
        return
    # A size of one would be taken to be fixed.
    shapes = ({axis: torch.export.Dim(name) for axis, name in dynamic.items() if x.shape[axis] > 1},)
    options = {"dynamo": True, "optimize": case.optimize, "verbose": False, **names}
    try:
        program = torch.onnx.export(model, (x,), dynamic_shapes=shapes, **options)
    except torch.onnx.OnnxExporterError:
        # torch 2.6 cannot decompose a layer without a bias on axes of any size.
        program = torch.onnx.export(model, (x,), **options)
    program.save(str(path))


class InvalidExportError(Exception):
    """The exporter wrote no valid model."""


def refuse_integer_weights(graph):
    """Torch 2.6 folds bfloat16 weights into the bits of them: a product of numbers and integers, which nothing runs."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    stored |= {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    for node in graph.node:
        for name in node.input if node.op_type in ("MatMul", "Gemm") else ():
            if name in stored and stored[name].data_type == onnx.TensorProto.UINT16:
                raise InvalidExportError(f"{node.op_type} {node.output[0]} reads {name}, which is stored as integers")


def has_dynamo():
    return (
        "dynamo" in inspect.signature(torch.onnx.export).parameters
        and "optimize" in inspect.signature(torch.onnx.export).parameters
    )


def version(module):
    return module.__version__.split("+")[0]


def strip(proto):
    """Without stack traces and the like, which are most of such a file."""
    for holder in [*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output]:
        kept = [(entry.key, entry.value) for entry in holder.metadata_props if entry.key in KEPT_METADATA]
        del holder.metadata_props[:]
        for key, value in kept:
            holder.metadata_props.add(key=key, value=value)
        holder.doc_string = ""
    del proto.graph.metadata_props[:], proto.metadata_props[:]


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    main()
