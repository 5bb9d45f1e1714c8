"""Exports the small models beside this file: PEFT's DoRA on Conv1D (GPT-2), Embedding, Conv1d, Conv2d and Conv3d.

    python -m venv venv && venv/bin/pip install -r models/requirements.txt
    for version in 0.21.2 0.11.1 0.13.2 0.14.0 0.16.0; do
        venv/bin/pip install --no-deps --target peft-$version peft==$version
        PYTHONPATH=peft-$version venv/bin/python packages/rewriter/test/layers/export.py
    done

`<kind>_<exporter>_peft<version>.onnx.gz`; optimised dynamo exports of layers this small hold g and g − 1 as constants, so the
norm is in the graphs of the other exporters. `<name>.npz` holds the input and PyTorch's float64 result. A graph that differs from
one of another version in nothing but names and weights is not kept.
"""

import copy
import gzip
import logging
import pathlib
import sys
import tempfile
import warnings

import numpy
import onnx
import torch
import transformers

try:
    import peft
except ImportError:
    # PEFT 0.16 imports a name that transformers 5 no longer has, for prompt learning only.
    sys.modules["transformers"].HybridCache = type("HybridCache", (), {})
    import peft
from peft import LoraConfig, get_peft_model

HERE = pathlib.Path(__file__).parent
VERSION = tuple(int(part) for part in peft.__version__.split(".")[:2])
IN, OUT, VOCAB, DIM, RANK = 6, 4, 11, 5, 2
# Optimised dynamo exports fold tensors of up to 8192 elements: what is larger keeps the norm, or a part of it.
LARGE = 640


class ScaledEmbedding(torch.nn.Embedding):
    """As Gemma's: the embeddings are multiplied by a number that PEFT finds as `embed_scale` (0.18 and later)."""

    def __init__(self, *sizes):
        super().__init__(*sizes)
        self.register_buffer("embed_scale", torch.tensor(DIM**0.5), persistent=False)

    def forward(self, ids):
        return super().forward(ids) * self.embed_scale


def gpt2_conv1d(outputs=OUT, inputs=IN):
    layer = transformers.pytorch_utils.Conv1D(outputs, inputs)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.normal_(layer.bias)
    return layer


def conv(dimensions, **more):
    kind = {1: torch.nn.Conv1d, 2: torch.nn.Conv2d, 3: torch.nn.Conv3d}[dimensions]
    options = {"kernel_size": 3, "padding": 1, **more}
    return kind(IN, OUT, **options)


# kind: oldest PEFT, the layer, its input
LAYERS = {
    "conv1d_gpt2": ((0, 11), gpt2_conv1d, (2, 3, IN)),
    "conv1d_gpt2_rows": ((0, 11), gpt2_conv1d, (3, IN)),
    "embedding": ((0, 13), lambda: torch.nn.Embedding(VOCAB, DIM), (2, 3)),
    "embedding_scaled": ((0, 18), lambda: ScaledEmbedding(VOCAB, DIM), (2, 3)),
    "conv1d": ((0, 16), lambda: conv(1), (2, IN, 7)),
    "conv2d": ((0, 10), lambda: conv(2), (2, IN, 5, 4)),
    "conv2d_nobias_strided": ((0, 10), lambda: conv(2, bias=False, stride=2, kernel_size=(3, 2)), (2, IN, 5, 4)),
    "conv2d_groups": ((0, 16), lambda: conv(2, groups=2), (2, IN, 5, 4)),
    "conv2d_pointwise_dilated": ((0, 16), lambda: conv(2, kernel_size=1, dilation=2), (2, IN, 5, 4)),
    "conv3d": ((0, 14), lambda: conv(3), (2, IN, 4, 3, 5)),
    "conv1d_gpt2_half": ((0, 11), gpt2_conv1d, (2, 3, IN)),
    "embedding_half": ((0, 13), lambda: torch.nn.Embedding(VOCAB, DIM), (2, 3)),
    "embedding_scaled_half": ((0, 18), lambda: ScaledEmbedding(VOCAB, DIM), (2, 3)),
    "conv2d_half": ((0, 11), lambda: conv(2), (2, IN, 5, 4)),
    "conv1d_gpt2_large": ((0, 11), lambda: gpt2_conv1d(16, LARGE), (2, 3, LARGE)),
    "embedding_large": ((0, 13), lambda: torch.nn.Embedding(LARGE, 16), (2, 3)),
    "conv2d_large": ((0, 11), lambda: torch.nn.Conv2d(32, 32, 3, padding=1), (1, 32, 3, 2)),
}
EXPORTERS = ("legacy", "legacy_folded", "dynamo", "dynamo_unoptimized")


class Model(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.proj = layer

    def forward(self, x):
        return self.proj(x)


def adapted(kind, adapters=1):
    torch.manual_seed(0)
    # PEFT keeps the adapters of half-precision layers in float32.
    model = Model(LAYERS[kind][1]()).to(torch.float16 if kind.endswith("half") else torch.float32)
    options = {"target_modules": ["proj"], "use_dora": True, "init_lora_weights": False}
    model = get_peft_model(model, LoraConfig(r=RANK, lora_alpha=3, **options))
    if adapters == 2:
        model.add_adapter("second", LoraConfig(r=1, lora_alpha=1, **options))
        model.base_model.set_adapter(["default", "second"])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "magnitude" in name:
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
            if "lora_A" in name or "lora_B" in name or "embedding_A" in name or "embedding_B" in name:
                parameter.copy_(torch.randn_like(parameter) * 0.3)
            if "large" in kind:
                # Few different numbers, so that the file compresses.
                parameter.copy_((parameter * 16).round() / 16)
    return model.eval()


def has_two_adapters(kind):
    """PEFT before 0.14 adds the change of a further adapter, of what has a layer to compute again."""
    return VERSION == (0, 21) and kind == "embedding" or VERSION in ((0, 21), (0, 13)) and kind in ("conv2d", "conv1d_gpt2")


def export(kind, exporter, adapters=1):
    model = adapted(kind, adapters)
    shape = LAYERS[kind][2]
    x = torch.randint(0, VOCAB, shape) if kind.startswith("embedding") else torch.randn(shape)
    if kind.endswith("half") and x.dtype == torch.float32:
        x = x.half()
    named = f"{kind}_two_adapters" if adapters == 2 else kind
    name = f"{named}_{exporter}_peft{VERSION[0]}.{VERSION[1]}"
    path = pathlib.Path(tempfile.mkdtemp()) / "model.onnx"
    names = {"input_names": ["x"], "output_names": ["y"]}
    features = {"embedding": None, "conv1d_gpt2": len(shape) - 1}
    fixed = next((axis for prefix, axis in features.items() if kind.startswith(prefix)), 1)
    free = [axis for axis in range(len(shape)) if axis != fixed]
    if exporter.startswith("legacy"):
        axes = {"x": {axis: f"d{axis}" for axis in free}}
        folding = exporter == "legacy_folded"
        torch.onnx.export(
            model, (x,), path, dynamo=False, opset_version=17, do_constant_folding=folding, dynamic_axes=axes, **names
        )
    else:
        shapes = ({axis: torch.export.Dim.AUTO for axis in free},)
        torch.onnx.export(
            Wrapped(model),
            (x,),
            dynamo=True,
            optimize=exporter == "dynamo",
            verbose=False,
            dynamic_shapes=shapes,
            **names,
        ).save(str(path))
    proto = onnx.load(path)
    strip(proto)
    reference = copy.deepcopy(model).double()(x if x.dtype == torch.int64 else x.double()).detach().numpy()
    keep(named, exporter, name, proto, {"x": x.numpy(), "y": reference})


class Wrapped(torch.nn.Module):
    """PEFT's own forward takes *args, to which dynamic shapes cannot be given."""

    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, x):
        return self.m(x)


def strip(proto):
    """Without stack traces and the like, which are most of such a file."""
    keep = {"pkg.torch.onnx.name_scopes", "pkg.onnxscript.optimizer.folded_from"}
    for holder in [*proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output]:
        kept = [(entry.key, entry.value) for entry in holder.metadata_props if entry.key in keep]
        holder.doc_string = ""
        del holder.metadata_props[:]
        for key, value in kept:
            holder.metadata_props.add(key=key, value=value)
    del proto.graph.metadata_props[:], proto.metadata_props[:]


def form(proto):
    """What a graph is but for names and weights."""
    numbers = {}

    def places(values):
        return [numbers.setdefault(value, len(numbers)) if value else None for value in values]

    def attribute(each):
        data = each.t.raw_data if len(each.t.raw_data) <= 32 else None
        return [each.name, each.i, each.f, list(each.ints), list(each.t.dims), data]

    tensors = [[list(each.dims), each.data_type] for each in proto.graph.initializer]
    nodes = [
        [each.op_type, places(each.input), places(each.output), [attribute(one) for one in each.attribute]]
        for each in proto.graph.node
    ]
    return repr([tensors, nodes])


def keep(kind, exporter, name, proto, arrays):
    for other in HERE.glob(f"{kind}_{exporter}_peft*.onnx.gz"):
        if other.name != f"{name}.onnx.gz" and form(onnx.load_from_string(gzip.decompress(other.read_bytes()))) == form(proto):
            return
    (HERE / f"{name}.onnx.gz").write_bytes(gzip.compress(proto.SerializeToString(), mtime=0))
    numpy.savez_compressed(HERE / f"{name}.npz", **arrays)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for kind, (oldest, _, _) in LAYERS.items():
        if VERSION < oldest:
            continue
        for exporter in ("dynamo",) if "large" in kind else EXPORTERS:
            for adapters in (1, 2) if has_two_adapters(kind) else (1,):
                # Unoptimised dynamo exports of Conv3d give its Conv a bias of the wrong shape; nothing can run them.
                if (kind, exporter) != ("conv3d", "dynamo_unoptimized"):
                    export(kind, exporter, adapters)
