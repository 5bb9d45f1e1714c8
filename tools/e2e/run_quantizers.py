"""Quantizes a model by onnxruntime's own quantizers, runs the results, and prints what became of them, as JSON.

usage: run_quantizers.py MODEL INPUTS.npz EXPECTED.npz FOLDER [OPERATOR_LIBRARY]

MODEL is one that `ort-dora rewrite --form compose` wrote: the base of every adapted layer is a MatMul or Gemm beside its
DoraCompose. The quantizers take stored weights only, and dynamo exports have a Transpose behind each large one: it is folded
first (onnxruntime's quant_pre_process would fold it too, but inline DoraCompose along the way).

For each quantizer: `composed`, the DoraCompose nodes; `bases`, those of them whose base a quantized product computes; and for
every output, `errors`: max |y - expected| / max |expected|. onnxruntime quantizes activations of float32 models only, so that
of half-precision models `dynamic` is missing.
"""

import json
import pathlib
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

# The model's own weights are smaller than a block of 32: zeros fill it up.
BLOCK_SIZE = 32
# What stands between a product and the composition: the bias, and what the quantizers write behind a product.
STEPS_BEHIND_PRODUCT = {"Add", "Mul", "Cast", "Reshape", "Identity", "QuantizeLinear", "DequantizeLinear"}


class Recorded(CalibrationDataReader):
    def __init__(self, feeds):
        self.feeds = iter([feeds])

    def get_next(self):
        return next(self.feeds, None)


def fold_transposes(model):
    """Stores weights as the products that read them through a Transpose want them."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in list(model.graph.node):
        if node.op_type != "Transpose" or node.input[0] not in stored:
            continue
        weight = onnx.numpy_helper.to_array(stored[node.input[0]])
        permutation = next((list(attribute.ints) for attribute in node.attribute), None)
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(np.ascontiguousarray(weight.transpose(permutation)), node.output[0])
        )
        model.graph.node.remove(node)
    return model


def dynamic(model, target, _):
    quantize_dynamic(model, target, op_types_to_quantize=["MatMul", "Gemm"], weight_type=QuantType.QInt8)


def static(model, target, feeds):
    quantize_static(
        model,
        target,
        Recorded(feeds),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=["MatMul", "Gemm"],
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        per_channel=True,
    )


def nbits(model, target, _):
    quantizer = MatMulNBitsQuantizer(onnx.load(model), block_size=BLOCK_SIZE, is_symmetric=True)
    quantizer.process()
    quantizer.model.save_model_to_file(target)


def adapted_bases(model):
    """How many DoraCompose nodes there are, and of how many the base's product is quantized."""
    producers = {output: node for node in model.graph.node for output in node.output}

    def dequantized(value):
        node = producers.get(value)
        return node is not None and node.op_type == "DequantizeLinear"

    def quantized(value):
        node = producers.get(value)
        while node is not None:
            if node.op_type in ("MatMulNBits", "MatMulInteger", "DynamicQuantizeMatMul", "QLinearMatMul", "QGemm"):
                return True
            if node.op_type in ("MatMul", "Gemm"):
                return dequantized(node.input[1])
            # A chained adapter's base is the composition before it, which is counted by itself.
            if node.op_type == "DoraCompose":
                node = producers.get(node.input[0])
                continue
            if node.op_type not in STEPS_BEHIND_PRODUCT:
                return False
            node = next((ahead for ahead in map(producers.get, node.input) if leads_to_product(ahead)), None)
        return False

    def leads_to_product(node, depth=0):
        if node is None or depth > 8:
            return False
        if "MatMul" in node.op_type or "Gemm" in node.op_type or node.op_type == "DoraCompose":
            return True
        return node.op_type in STEPS_BEHIND_PRODUCT and any(
            leads_to_product(producers.get(value), depth + 1) for value in node.input
        )

    composed = [node for node in model.graph.node if node.op_type == "DoraCompose"]
    return len(composed), sum(quantized(node.input[0]) for node in composed)


def errors(path, feeds, expected, library):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    if library is not None:
        options.register_custom_ops_library(library)
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    result = {}
    for name, value in zip(names, session.run(names, feeds), strict=True):
        reference = expected[name].astype(np.float64)
        difference = np.abs(value.astype(np.float64) - reference).max(initial=0.0)
        result[name] = float(difference / np.abs(reference).max(initial=0.0))
    return result


def main(model, inputs, expected, folder, library=None):
    feeds = dict(np.load(inputs))
    recorded = np.load(expected)
    report = {"version": ort.__version__}
    prepared = str(pathlib.Path(folder) / "prepared.onnx")
    loaded = fold_transposes(onnx.load(model))
    onnx.save(loaded, prepared)
    half = any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in loaded.graph.initializer)
    quantizers = {"dynamic": dynamic, "static": static, "nbits": nbits}
    if half:
        del quantizers["dynamic"]
    for name, quantize in quantizers.items():
        target = str(pathlib.Path(folder) / f"{name}.onnx")
        quantize(prepared, target, feeds)
        composed, bases = adapted_bases(onnx.load(target))
        report[name] = {"composed": composed, "bases": bases, "errors": errors(target, feeds, recorded, None)}
        if library is not None:
            report[name]["library_errors"] = errors(target, feeds, recorded, library)
    print(json.dumps(report))


if __name__ == "__main__":
    main(*sys.argv[1:])
