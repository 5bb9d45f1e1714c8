"""Exports the small models beside this file: layers that look like PEFT's DoRA and are not.

    python -m venv venv && venv/bin/pip install -r models/requirements.txt
    venv/bin/python packages/rewriter/test/lookalikes/export.py

`<name>_<exporter>.onnx.gz`. All matrices are 6 × 6, so that shapes show no difference. Nothing is computed with them: each is
left exactly as it is.
"""

import gzip
import logging
import pathlib
import tempfile
import warnings

import onnx
import torch
from peft import LoraConfig, get_peft_model
from torch.nn.functional import linear, normalize

HERE = pathlib.Path(__file__).parent
SIZE, RANK, SCALING = 6, 6, 1.5


class Adapted(torch.nn.Module):
    """PEFT's DoraLinearLayer written out; each subclass does one thing otherwise."""

    def __init__(self):
        super().__init__()
        self.base = torch.nn.Linear(SIZE, SIZE)
        self.lora_A = torch.nn.Linear(SIZE, RANK, bias=False)
        self.lora_B = torch.nn.Linear(RANK, SIZE, bias=False)
        self.magnitude = torch.nn.Parameter(1 + torch.rand(SIZE))

    def norm(self, weight):
        return torch.linalg.norm(weight, dim=1)

    def gain(self, weight):
        return (self.magnitude / self.norm(weight)).view(1, -1)

    def adapted_weight(self):
        eye = torch.eye(SIZE)
        return self.base.weight + SCALING * self.lora_B(self.lora_A(eye)).T

    def compose(self, y, g, lora):
        return y + ((g - 1) * (y - self.base.bias) + g * lora * SCALING)

    def forward(self, x):
        g = self.gain(self.adapted_weight())
        return self.compose(self.base(x), g, self.lora_B(self.lora_A(x)))


class Epsilon(Adapted):
    def norm(self, weight):
        return super().norm(weight) + 1e-6


class Clamped(Adapted):
    def norm(self, weight):
        return super().norm(weight).clamp(min=1e-6)


class OverOutputs(Adapted):
    def norm(self, weight):
        return torch.linalg.norm(weight, dim=0)


class Frobenius(Adapted):
    def norm(self, weight):
        return torch.linalg.norm(weight)


class SumOfMagnitudes(Adapted):
    def norm(self, weight):
        return torch.linalg.vector_norm(weight, ord=1, dim=1)


class LargestMagnitude(Adapted):
    def norm(self, weight):
        return torch.linalg.vector_norm(weight, ord=float("inf"), dim=1)


class SubtractionSwapped(Adapted):
    def compose(self, y, g, lora):
        return y + ((1 - g) * (y - self.base.bias) + g * lora * SCALING)


class DivisionSwapped(Adapted):
    def gain(self, weight):
        return (self.norm(weight) / self.magnitude).view(1, -1)


class OtherScaling(Adapted):
    def compose(self, y, g, lora):
        return y + ((g - 1) * (y - self.base.bias) + g * lora * (SCALING + 2**-23))


class BiasGained(Adapted):
    def compose(self, y, g, lora):
        return y + ((g - 1) * y + g * lora * SCALING)


class NormOfBase(Adapted):
    """The base without the adapter in its norm."""

    def adapted_weight(self):
        return self.base.weight * 1.0


class OtherFactors(Adapted):
    """The norm of A and B that are not those of the adapter's path, down to one bit."""

    def __init__(self):
        super().__init__()
        self.other = torch.nn.Linear(SIZE, RANK, bias=False)

    def adapted_weight(self):
        return self.base.weight + SCALING * self.lora_B(self.other(torch.eye(SIZE))).T


class LycorisInputs(Adapted):
    """LyCORIS' weight decomposition with a magnitude `(1, in)`: of columns, and of the merged weight."""

    def __init__(self):
        super().__init__()
        self.magnitude = torch.nn.Parameter(1 + torch.rand(1, SIZE))

    def norm(self, weight):
        return weight.norm(dim=0, keepdim=True)

    def forward(self, x):
        weight = self.adapted_weight()
        return linear(x, weight * (self.magnitude / self.norm(weight)), self.base.bias)


class LycorisComposed(LycorisInputs):
    """The same magnitude in PEFT's composition, where it would scale outputs."""

    def gain(self, weight):
        return self.magnitude / self.norm(weight)

    def forward(self, x):
        return Adapted.forward(self, x)


class WeightNorm(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(SIZE, SIZE))

    def forward(self, x):
        return self.layer(x)


class CosineClassifier(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(SIZE, SIZE))
        self.scale = torch.nn.Parameter(torch.tensor(10.0))

    def forward(self, x):
        return self.scale * linear(normalize(x, dim=-1), normalize(self.weight, dim=-1))


class PlainLora(torch.nn.Module):
    def __init__(self):
        super().__init__()
        config = LoraConfig(r=RANK, lora_alpha=RANK * SCALING, target_modules=["0"], init_lora_weights=False)
        self.model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(SIZE, SIZE)), config)

    def forward(self, x):
        return self.model(x)


LOOKALIKES = {
    "dora": Adapted,
    "epsilon": Epsilon,
    "clamped": Clamped,
    "over_outputs": OverOutputs,
    "frobenius": Frobenius,
    "sum_of_magnitudes": SumOfMagnitudes,
    "largest_magnitude": LargestMagnitude,
    "subtraction_swapped": SubtractionSwapped,
    "division_swapped": DivisionSwapped,
    "other_scaling": OtherScaling,
    "bias_gained": BiasGained,
    "norm_of_base": NormOfBase,
    "other_factors": OtherFactors,
    "lycoris_inputs": LycorisInputs,
    "lycoris_composed": LycorisComposed,
    "weight_norm": WeightNorm,
    "cosine_classifier": CosineClassifier,
    "plain_lora": PlainLora,
}


def export(name, exporter):
    torch.manual_seed(0)
    model = LOOKALIKES[name]().eval()
    if name == "other_factors":
        with torch.no_grad():
            model.other.weight.copy_(model.lora_A.weight)
            bits = model.other.weight.view(torch.int32)
            bits[2, 3] ^= 1
    x = torch.randn(2, 3, SIZE)
    path = pathlib.Path(tempfile.mkdtemp()) / "model.onnx"
    names = {"input_names": ["x"], "output_names": ["y"]}
    if exporter == "legacy":
        axes = {"x": {0: "batch", 1: "seq"}}
        torch.onnx.export(
            model, (x,), path, dynamo=False, opset_version=17, do_constant_folding=False, dynamic_axes=axes, **names
        )
    else:
        shapes = ({0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO},)
        torch.onnx.export(
            model, (x,), dynamo=True, optimize=False, verbose=False, dynamic_shapes=shapes, **names
        ).save(str(path))
    proto = onnx.load(path)
    for holder in [proto, proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output]:
        holder.doc_string = ""
        del holder.metadata_props[:]
    (HERE / f"{name}_{exporter}.onnx.gz").write_bytes(gzip.compress(proto.SerializeToString(), mtime=0))


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    for each in LOOKALIKES:
        for exporter in ("legacy", "dynamo"):
            export(each, exporter)
