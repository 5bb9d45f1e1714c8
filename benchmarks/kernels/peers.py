"""Times one adapted layer by each known method beside DoraLinear: a table on stdout, JSON with --json.

    python benchmarks/kernels/peers.py LIBRARY [--json FILE] [--tokens 1,16,256,1024,4096]

bfloat16 layers of rank 384, the eight shapes of layers.py, replays of CUDA graphs: the time to launch kernels, which
is most of PEFT's for few tokens, is not in the figures.
"""

import functools
import math

import torch
from layers import SCALING, SHAPES, exact_linear, layer, magnitude, normal, relative_error
from library import Library
from peft import LoraConfig, get_peft_model
from peft.helpers import DoraCaching
from report import arguments, geometric_mean, write
from timing import Timer

RANK = 384
EXACT_COLUMNS = 2048

METHODS = {
    "merged": "cuBLAS's product with one weight: no adapter",
    "DoraLinear": "this project's kernel, adapters in bfloat16",
    "DoraLinear, float32 adapters": "this project's kernel, adapters in float32",
    "PEFT LoRA": "PEFT's LoRA layer",
    "PEFT DoRA, norm cached": "PEFT's DoRA layer in DoraCaching",
    "PEFT DoRA": "PEFT's DoRA layer, adapters in bfloat16",
    "PEFT DoRA, float32 adapters": "PEFT's DoRA layer as it is by default",
    "factored norm": "the norm from W·Aᵀ and A·Aᵀ at every call (arXiv 2603.22276, in PyTorch), PEFT's composition",
}


def peft_layer(w, dora, float32=False):
    """PEFT's layer with the weights of `w`, in evaluation."""
    out, inner = w["W"].shape
    with torch.device("cuda"):
        base = torch.nn.Sequential(torch.nn.Linear(inner, out, bias=False, dtype=torch.bfloat16))
    base[0].weight.data.copy_(w["W"])
    config = LoraConfig(r=RANK, lora_alpha=SCALING * RANK, target_modules=["0"], use_dora=dora)
    model = get_peft_model(base, config, autocast_adapter_dtype=float32).eval()
    adapted = model.base_model.model[0]
    adapted.lora_A["default"].weight.data.copy_(w["A"])
    adapted.lora_B["default"].weight.data.copy_(w["B"])
    if dora:
        adapted.lora_magnitude_vector["default"].weight.data.copy_(magnitude(w))
    return adapted


def factored_norm(x, w, m):
    """‖W + s·B·A‖² row by row = ‖w‖² + 2s·(B∘W·Aᵀ) + s²·(B·(A·Aᵀ)∘B), in float32, then PEFT's composition."""
    W, A, B = (w[name].float() for name in ("W", "A", "B"))
    cross = (B * (W @ A.T)).sum(1)
    gram = ((B @ (A @ A.T)) * B).sum(1)
    norm = (W.square().sum(1) + 2 * SCALING * cross + SCALING**2 * gram).clamp_min(0).sqrt()
    g = (m / norm).to(x.dtype)
    base = x @ w["W"].T
    return base + ((g - 1) * base + g * (SCALING * ((x @ w["A"].T) @ w["B"].T)))


def methods(library, w, w32, x):
    """Name → a function that enqueues one call and returns y, made when it is first needed (its weights are large)."""
    y = torch.empty(x.shape[0], w["W"].shape[0], dtype=x.dtype, device="cuda")
    m = magnitude(w)

    def ours(weights):
        call = library.linear(x, weights["W"], weights["A"], weights["B"], weights["g"], y, SCALING)
        return lambda: (call(), y)[1]

    def peft(dora, float32=False, cached=False):
        adapted = peft_layer(w32 if float32 else w, dora, float32)
        if not cached:
            return lambda: adapted(x)

        def call():
            with DoraCaching():
                return adapted(x)

        call()
        return call

    return {
        "merged": lambda: lambda: torch.mm(x, w["W"].T, out=y),
        "DoraLinear": functools.partial(ours, w),
        "DoraLinear, float32 adapters": functools.partial(ours, w32),
        "PEFT LoRA": functools.partial(peft, dora=False),
        "PEFT DoRA, norm cached": functools.partial(peft, dora=True, cached=True),
        "PEFT DoRA": functools.partial(peft, dora=True),
        "PEFT DoRA, float32 adapters": functools.partial(peft, dora=True, float32=True),
        "factored norm": lambda: lambda: factored_norm(x, w, m),
    }


def bench(library, timer, tokens):
    """One result a method, shape and number of tokens."""
    results = []
    for out, inner in SHAPES:
        w32 = layer(out, inner, RANK, adapter=torch.float32)
        w = {**w32, "A": w32["A"].bfloat16(), "B": w32["B"].bfloat16()}
        for count in tokens:
            x = normal(count, inner)
            reference, reference32 = (exact_linear(x, weights, EXACT_COLUMNS) for weights in (w, w32))
            for name, make in methods(library, w, w32, x).items():
                call = make()
                y = call()
                error = relative_error(y[:, :EXACT_COLUMNS], reference32 if "float32" in name else reference)
                us = timer(call, repeats=7)
                results.append({"method": name, "out": out, "in": inner, "tokens": count, "us": us, "error": error})
                del call, y
            torch.cuda.empty_cache()
    return results


def print_table(results, tokens):
    """Ratios to the merged layer, geometric means over the shapes; the root mean square of the errors."""
    print(f"{'ratio to merged':<32}" + "".join(f"T={count:<8}" for count in tokens) + "error")
    for name in METHODS:
        rows = [r for r in results if r["method"] == name]
        ratios = [geometric_mean([r["ratio"] for r in rows if r["tokens"] == count]) for count in tokens]
        error = math.sqrt(sum(r["error"] ** 2 for r in rows) / len(rows))
        print(f"{name:<32}" + "".join(f"{ratio:<10.2f}" for ratio in ratios) + f"{error:.2e}")


@torch.inference_mode()
def main():
    """The command line."""
    parser = arguments()
    parser.add_argument("--tokens", default="1,16,256,1024,4096")
    options = parser.parse_args()
    torch.manual_seed(1)
    tokens = [int(count) for count in options.tokens.split(",")]
    results = bench(Library(options.library), Timer(), tokens)
    merged = {(r["out"], r["in"], r["tokens"]): r["us"] for r in results if r["method"] == "merged"}
    for r in results:
        r["ratio"] = r["us"] / merged[r["out"], r["in"], r["tokens"]]
    print_table(results, tokens)
    write(options, rank=RANK, methods=METHODS, results=results)


if __name__ == "__main__":
    main()
