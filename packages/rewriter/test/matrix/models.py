"""The models that are exported: one or more linear layers with DoRA adapters of PEFT, any version from 0.9 on."""

import contextlib
import inspect

import peft
import torch
from cases import MORE_ADAPTERS
from packaging.version import Version
from peft import LoraConfig, get_peft_model

PEFT = Version(peft.__version__)
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class One(torch.nn.Module):
    """One layer."""

    def __init__(self, inputs, outputs, bias):
        super().__init__()
        self.q_proj = torch.nn.Linear(inputs, outputs, bias=bias)

    def forward(self, x):
        return self.q_proj(x)


class Siblings(torch.nn.Module):
    """Three layers that read the same input."""

    def __init__(self, inputs, outputs, bias):
        super().__init__()
        self.q_proj = torch.nn.Linear(inputs, outputs, bias=bias)
        self.k_proj = torch.nn.Linear(inputs, outputs, bias=bias)
        self.v_proj = torch.nn.Linear(inputs, outputs, bias=bias)

    def forward(self, x):
        return torch.tanh(self.q_proj(x)) * self.k_proj(x) + self.v_proj(x)


class Twice(torch.nn.Module):
    """One layer, called on two inputs."""

    def __init__(self, inputs, outputs, bias):
        super().__init__()
        self.q_proj = torch.nn.Linear(inputs, outputs, bias=bias)

    def forward(self, x):
        return self.q_proj(x) + self.q_proj(torch.tanh(x))


class Tied(torch.nn.Module):
    """One weight in two layers, of which one is adapted."""

    def __init__(self, inputs, outputs, bias):
        super().__init__()
        self.q_proj = torch.nn.Linear(inputs, outputs, bias=bias)
        self.plain = torch.nn.Linear(inputs, outputs, bias=bias)
        self.plain.weight = self.q_proj.weight

    def forward(self, x):
        return self.q_proj(x) + self.plain(x)


class Stack(torch.nn.Module):
    """Two layers in a row, the second back to the first's size."""

    def __init__(self, inputs, outputs, bias):
        super().__init__()
        self.up_proj = torch.nn.Linear(inputs, outputs, bias=bias)
        self.down_proj = torch.nn.Linear(outputs, inputs, bias=bias)

    def forward(self, x):
        return x + self.down_proj(torch.nn.functional.silu(self.up_proj(x)))


NETS = {"one": One, "siblings": Siblings, "twice": Twice, "tied": Tied, "stack": Stack}


class Model(torch.nn.Module):
    """Gives the graph input one name, whatever the adapted model calls it."""

    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, x):
        return self.m(x)


def adapted(
    net="one",
    inputs=24,
    outputs=20,
    bias="random",
    rank=4,
    alpha=8,
    rslora=False,
    rank_pattern=None,
    alpha_pattern=None,
    adapters=1,
    dtype="float32",
    mixed=False,
    dropout=0.0,
    hotswap=False,
    warm=False,
    **_,
):
    """A model with `adapters` active DoRA adapters a layer, m ≠ ‖W + s·B·A‖ and B ≠ 0, in eval mode."""
    torch.manual_seed(0)
    base = NETS[net](inputs, outputs, bias != "none").to(DTYPES[dtype])
    for name, parameter in base.named_parameters():
        if name.endswith("bias") and bias == "zero":
            torch.nn.init.zeros_(parameter)
    options = {"target_modules": r".*_proj", "use_dora": True, "init_lora_weights": False, "lora_dropout": dropout}
    first = LoraConfig(
        r=rank,
        lora_alpha=alpha,
        use_rslora=rslora,
        rank_pattern=rank_pattern or {},
        alpha_pattern=alpha_pattern or {},
        **options,
    )
    cast = {"autocast_adapter_dtype": mixed} if takes(get_peft_model, "autocast_adapter_dtype") else {}
    model = get_peft_model(base, first, **cast)
    names = ["default", *MORE_ADAPTERS][:adapters]
    for name in names[1:]:
        r, own_alpha = MORE_ADAPTERS[name]
        more = {"autocast_adapter_dtype": mixed} if takes(model.add_adapter, "autocast_adapter_dtype") else {}
        model.add_adapter(name, LoraConfig(r=r, lora_alpha=own_alpha, **options), **more)
    if adapters > 1:
        model.base_model.set_adapter(names)
    if hotswap:
        from peft.utils.hotswap import prepare_model_for_compiled_hotswap

        prepare_model_for_compiled_hotswap(model, config=first)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "magnitude" in name:
                parameter.mul_(1 + 0.2 * torch.randn_like(parameter))
            if "lora_A" in name or "lora_B" in name:
                parameter.copy_((torch.randn(parameter.shape) * 0.2).to(parameter.dtype))
    return Model(model).eval()


def takes(function, parameter):
    return parameter in inspect.signature(function).parameters


def unsupported(net="one", mixed=False, adapters=1, hotswap=False, warm=False, **_):
    """Why this PEFT cannot make such a model; None where it can."""
    if mixed and Version("0.12") > PEFT:
        return "adapters have the type of their layer before PEFT 0.12"
    if adapters > 1 and Version("0.12") > PEFT:
        return "a second DoRA adapter loses the first one's magnitude before PEFT 0.12"
    if hotswap and Version("0.15") > PEFT:
        return "hot swapping came with PEFT 0.15"
    if warm and Version("0.19") > PEFT:
        return "caching came with PEFT 0.19"
    return None


@contextlib.contextmanager
def norm_cached(warm):
    """PEFT's cache of the norm, which a run before the export fills."""
    if not warm:
        yield
        return
    from peft.helpers import DoraCaching

    with DoraCaching():
        yield
