"""Exports the bases and saves the PEFT adapters beside this file: what `attach` has to put together.

    python -m venv venv && venv/bin/pip install torch==2.15.0 peft==0.21.2 transformers==5.23.0 onnx==1.23.2 onnxscript==0.7.2
    venv/bin/python packages/rewriter/test/attach/export.py

`bases/<name>.onnx` are exports without any adapter; `adapters/<name>` are folders as PEFT's `save_pretrained` writes
them; `<base>+<adapter>.npz` holds an input, PEFT's result in float64 (`y`) and in the base's own type (`peft`).
Magnitudes are moved away from the norms, so that g is not 1.
"""

import copy
import logging
import pathlib
import shutil
import warnings

import numpy
import onnx
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers.pytorch_utils import Conv1D

HERE = pathlib.Path(__file__).parent
WIDTH, INNER, WORDS = 24, 20, 32


class Attention(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = torch.nn.Linear(WIDTH, INNER)
        self.v_proj = torch.nn.Linear(WIDTH, INNER, bias=False)
        self.o_proj = torch.nn.Linear(INNER, WIDTH, bias=False)

    def forward(self, x):
        return self.o_proj(torch.tanh(self.q_proj(x)) * self.v_proj(x))


class Block(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.self_attn = Attention()
        self.fc = torch.nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        x = x + self.self_attn(x)
        return x + torch.tanh(self.fc(x))


class Decoder(torch.nn.Module):
    """Two blocks; with `words`, an embedding before them and a head behind them."""

    def __init__(self, words=False, tied=False):
        super().__init__()
        self.model = torch.nn.Module()
        self.model.layers = torch.nn.ModuleList([Block(), Block()])
        self.words = words
        if words:
            self.model.embed_tokens = torch.nn.Embedding(WORDS, WIDTH)
            self.lm_head = torch.nn.Linear(WIDTH, WORDS, bias=False)
            if tied:
                self.lm_head.weight = self.model.embed_tokens.weight

    def forward(self, x):
        if self.words:
            x = self.model.embed_tokens(x)
        for layer in self.model.layers:
            x = layer(x)
        return self.lm_head(x) if self.words else x


class Convolutions(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.wave = torch.nn.Conv1d(8, 6, 3, bias=False)

    def forward(self, x):
        return self.wave(torch.tanh(self.stem(x)).flatten(2))


class Gpt(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.h = torch.nn.ModuleList([torch.nn.Module()])
        self.h[0].c_attn = Conv1D(INNER, WIDTH)
        torch.nn.init.normal_(self.h[0].c_attn.bias)

    def forward(self, x):
        return torch.tanh(self.h[0].c_attn(x))


class Single(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = torch.nn.Linear(WIDTH, INNER)

    def forward(self, x):
        return self.q_proj(x)


EXPORTS = {
    # base: model, its arguments, input, dtype, then how it is exported
    "legacy": (Decoder, {}, "sequence", torch.float32, {"opset_version": 17}),
    "legacy_rows": (Decoder, {}, "rows", torch.float32, {"opset_version": 17, "do_constant_folding": False}),
    "legacy_float16": (Decoder, {}, "sequence", torch.float16, {"opset_version": 17}),
    "legacy_bfloat16": (Single, {}, "sequence", torch.bfloat16, {"opset_version": 17, "do_constant_folding": False}),
    "legacy_tied": (Decoder, {"words": True, "tied": True}, "words", torch.float32, {"opset_version": 17}),
    "dynamo": (Decoder, {}, "sequence", torch.float32, {"dynamo": True}),
    "dynamo_rows": (Decoder, {}, "rows", torch.float32, {"dynamo": True, "optimize": False}),
    "dynamo_float16": (Decoder, {}, "sequence", torch.float16, {"dynamo": True}),
    "dynamo_tied": (Decoder, {"words": True, "tied": True}, "words", torch.float32, {"dynamo": True}),
    "dynamo_conv": (Convolutions, {}, "picture", torch.float32, {"dynamo": True}),
    "legacy_conv": (Convolutions, {}, "picture", torch.float32, {"opset_version": 17}),
    "legacy_conv1d": (Gpt, {}, "sequence", torch.float32, {"opset_version": 17}),
    "dynamo_conv1d": (Gpt, {}, "sequence", torch.float32, {"dynamo": True}),
}

LINEARS = ["q_proj", "v_proj", "o_proj", "fc"]
ADAPTERS = {
    # adapter: model, its arguments, PEFT's options, then the bases it goes onto
    "dora": (
        Decoder,
        {},
        {"target_modules": LINEARS, "r": 4, "lora_alpha": 8, "use_dora": True},
        ["legacy", "legacy_rows", "legacy_float16", "dynamo", "dynamo_rows", "dynamo_float16"],
    ),
    "pattern": (
        Decoder,
        {},
        {
            "target_modules": ["q_proj", "fc"],
            "r": 3,
            "lora_alpha": 5,
            "use_dora": True,
            "use_rslora": True,
            "rank_pattern": {"layers.1.fc": 1},
            "alpha_pattern": {"q_proj": 2},
        },
        ["legacy", "dynamo"],
    ),
    "lora": (Decoder, {}, {"target_modules": LINEARS, "r": 4, "lora_alpha": 8}, ["legacy", "dynamo_float16"]),
    "single": (Single, {}, {"target_modules": ["q_proj"], "r": 2, "use_dora": True}, ["legacy_bfloat16"]),
    "head": (
        Decoder,
        {"words": True, "tied": True},
        {"target_modules": ["q_proj", "lm_head"], "r": 2, "use_dora": True},
        ["legacy_tied", "dynamo_tied"],
    ),
    "embedding": (
        Decoder,
        {"words": True, "tied": True},
        {"target_modules": ["v_proj", "embed_tokens"], "r": 2, "use_dora": True},
        ["legacy_tied", "dynamo_tied"],
    ),
    "conv": (
        Convolutions,
        {},
        {"target_modules": ["stem", "wave"], "r": 2, "lora_alpha": 3, "use_dora": True},
        ["legacy_conv", "dynamo_conv"],
    ),
    "conv1d": (
        Gpt,
        {},
        {"target_modules": ["c_attn"], "r": 2, "use_dora": True, "fan_in_fan_out": True},
        ["legacy_conv1d", "dynamo_conv1d"],
    ),
}

INPUTS = {
    "sequence": lambda: torch.randn(2, 3, WIDTH),
    "rows": lambda: torch.randn(5, WIDTH),
    "words": lambda: torch.randint(0, WORDS, (2, 3)),
    "picture": lambda: torch.randn(2, 3, 6, 6),
}
AXES = {
    "sequence": {0: "batch", 1: "seq"},
    "rows": {0: "rows"},
    "words": {0: "batch", 1: "seq"},
    "picture": {0: "batch"},
}


def base(kind, arguments):
    torch.manual_seed(0)
    return kind(**arguments).eval()


def adapt(name):
    kind, arguments, options, _ = ADAPTERS[name]
    model = base(kind, arguments)
    torch.manual_seed(1)
    model = get_peft_model(model, LoraConfig(init_lora_weights=False, **options))
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "magnitude" in key:
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
            elif "lora_" in key:
                parameter.copy_(torch.randn_like(parameter) * 0.2)
    folder = HERE / "adapters" / name
    model.save_pretrained(folder)
    (folder / "README.md").unlink(missing_ok=True)


def export(name):
    kind, arguments, inputs, dtype, options = EXPORTS[name]
    model = base(kind, arguments).to(dtype)
    torch.manual_seed(2)
    x = INPUTS[inputs]()
    x = x.to(dtype) if x.is_floating_point() else x
    path = HERE / "bases" / f"{name}.onnx"
    names = {"input_names": ["x"], "output_names": ["y"]}
    if options.get("dynamo"):
        shapes = ({axis: torch.export.Dim.DYNAMIC for axis in AXES[inputs]},)
        torch.onnx.export(model, (x,), verbose=False, dynamic_shapes=shapes, **names, **options).save(str(path))
        strip(path)
    else:
        torch.onnx.export(model, (x,), path, dynamo=False, dynamic_axes={"x": AXES[inputs]}, **names, **options)
    return x


def record(name, adapter, x):
    kind, arguments, _, dtype, _ = EXPORTS[name]
    model = PeftModel.from_pretrained(base(kind, arguments).to(dtype), HERE / "adapters" / adapter).eval()
    with torch.no_grad():
        own = model(x).float().numpy()
        exact = copy.deepcopy(model).double()(x.double() if x.is_floating_point() else x).numpy()
    given = x.float().numpy() if x.is_floating_point() else x.numpy()
    numpy.savez_compressed(HERE / f"{name}+{adapter}.npz", x=given, y=exact, peft=own)


def strip(path):
    """Without stack traces and the like, which are most of such a file."""
    proto = onnx.load(path)
    keep = {"pkg.torch.onnx.name_scopes", "pkg.onnxscript.optimizer.folded_from"}
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
    for made in ["bases", "adapters"]:
        shutil.rmtree(HERE / made, ignore_errors=True)
        (HERE / made).mkdir()
    for adapter in ADAPTERS:
        adapt(adapter)
    for name in EXPORTS:
        x = export(name)
        for adapter, (_, _, _, bases) in ADAPTERS.items():
            if name in bases:
                record(name, adapter, x)
        print(name)
