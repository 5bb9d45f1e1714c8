"""Exports the small models beside this file: forms of PEFT's DoRA that the samples do not have.

    python -m venv venv && venv/bin/pip install torch==2.15.0 peft==0.21.2 onnx==1.23.2 onnxscript==0.7.2
    venv/bin/python packages/rewriter/test/exports/export.py

One linear layer of 24 inputs and 20 outputs each. Layers this small fold away in optimised dynamo exports, so those here
are the unoptimised ones. `<name>.npz` holds the input and PyTorch's float64 result.
"""

import logging
import pathlib
import warnings

import numpy
import onnx
import torch
from peft import LoraConfig, get_peft_model

INPUTS, OUTPUTS = 24, 20
HERE = pathlib.Path(__file__).parent

CASES = {
    # name: exporter, opset, then options of `adapted`
    "legacy_opset11": ("legacy", 11, {}),
    "legacy_opset12_rslora": ("legacy", 12, {"rslora": True}),
    "legacy_opset13_gemm": ("legacy", 13, {"rows": True}),
    "legacy_opset18_scaling1": ("legacy", 18, {"alpha": 4}),
    "legacy_float16": ("legacy", 17, {"dtype": torch.float16}),
    "legacy_bfloat16": ("legacy", 17, {"dtype": torch.bfloat16}),
    "legacy_mixed_two_adapters": ("legacy", 17, {"dtype": torch.float16, "mixed": True, "two": True}),
    "legacy_two_adapters_bias": ("legacy", 17, {"two": True}),
    "dynamo_unoptimized": ("dynamo", None, {}),
    "dynamo_unoptimized_gemm_nobias": ("dynamo", None, {"rows": True, "bias": False}),
    "dynamo_unoptimized_mixed": ("dynamo", None, {"dtype": torch.float16, "mixed": True}),
    "dynamo_unoptimized_mixed_two_adapters": ("dynamo", None, {"dtype": torch.float16, "mixed": True, "two": True}),
    "dynamo_unoptimized_zero_bias": ("dynamo", None, {"zero_bias": True}),
}


class Layer(torch.nn.Module):
    def __init__(self, bias):
        super().__init__()
        self.q_proj = torch.nn.Linear(INPUTS, OUTPUTS, bias=bias)

    def forward(self, x):
        return self.q_proj(x)


class Model(torch.nn.Module):
    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, x):
        return self.m(x)


def adapted(bias=True, alpha=8, rslora=False, two=False, dtype=torch.float32, mixed=False, zero_bias=False, **_):
    torch.manual_seed(0)
    base = Layer(bias).to(dtype)
    if zero_bias:
        torch.nn.init.zeros_(base.q_proj.bias)
    config = {"target_modules": ["q_proj"], "use_dora": True, "use_rslora": rslora, "init_lora_weights": False}
    first = LoraConfig(r=4, lora_alpha=alpha, **config)
    model = get_peft_model(base, first, autocast_adapter_dtype=mixed)
    if two:
        model.add_adapter("second", LoraConfig(r=2, lora_alpha=1, **config))
        model.base_model.set_adapter(["default", "second"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "magnitude" in name:
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
            if "lora_A" in name or "lora_B" in name:
                parameter.copy_((torch.randn(parameter.shape) * 0.2).to(parameter.dtype))
    return Model(model).eval()


def export(name, exporter, opset, options):
    model = adapted(**options)
    rows = options.get("rows", False)
    x = torch.randn((5, INPUTS) if rows else (2, 3, INPUTS)).to(options.get("dtype", torch.float32))
    path = HERE / f"{name}.onnx"
    if exporter == "legacy":
        axes = {"x": {0: "rows"} if rows else {0: "batch", 1: "seq"}}
        names = {"input_names": ["x"], "output_names": ["y"], "dynamic_axes": axes}
        torch.onnx.export(model, (x,), path, dynamo=False, opset_version=opset, do_constant_folding=False, **names)
    else:
        dim = torch.export.Dim
        shapes = ({0: dim("rows")} if rows else {0: dim("batch"), 1: dim("seq")},)
        names = {"input_names": ["x"], "output_names": ["y"], "dynamic_shapes": shapes}
        torch.onnx.export(model, (x,), dynamo=True, optimize=False, verbose=False, **names).save(str(path))
        strip(path)
    reference = model.double()(x.double()).detach().numpy()
    numpy.savez(HERE / f"{name}.npz", x=x.float().numpy(), y=reference)


def strip(path):
    """Without stack traces and the like, which are most of such a file."""
    proto = onnx.load(path)
    keep = {"pkg.torch.onnx.name_scopes"}
    for holder in [*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output]:
        kept = [(entry.key, entry.value) for entry in holder.metadata_props if entry.key in keep]
        del holder.metadata_props[:]
        for key, value in kept:
            holder.metadata_props.add(key=key, value=value)
    del proto.graph.metadata_props[:], proto.metadata_props[:]
    onnx.save(proto, path)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for case, (exporter, opset, options) in CASES.items():
        export(case, exporter, opset, options)
        print(case)
