"""The layers that are timed, with random weights, and what they compute in float64."""

import torch

SHAPES = [
    (4096, 4096),
    (12288, 4096),
    (4096, 12288),
    (5120, 5120),
    (25600, 5120),
    (5120, 25600),
    (8192, 8192),
    (28672, 8192),
]
SCALING = 2.0


def normal(*shape, dtype=torch.bfloat16, deviation=1.0):
    """Normally distributed numbers on the GPU."""
    return (torch.randn(*shape, device="cuda") * deviation).to(dtype)


def layer(out, inner, rank, dtype=torch.bfloat16, adapter=None):
    """W [out, in], A [r, in], B [out, r] and g [out] in float32; `adapter`: dtype of A and B, if not W's."""
    adapter = adapter or dtype
    return {
        "W": normal(out, inner, dtype=dtype, deviation=inner**-0.5),
        "A": normal(rank, inner, dtype=adapter, deviation=inner**-0.5),
        "B": normal(out, rank, dtype=adapter, deviation=0.3 * max(rank, 1) ** -0.5),
        "g": (1 + 0.1 * torch.randn(out, device="cuda")).float(),
    }


def stored(w, transposed):
    """W, A and B as an export stores them: all transposed, [in, out], or all as PyTorch has them."""
    return {name: w[name].T.contiguous() if transposed else w[name] for name in ("W", "A", "B")}


def magnitude(w):
    """g·‖W + s·B·A‖ of every row, in float32: what PEFT's layer holds."""
    return w["g"] * (w["W"].float() + SCALING * w["B"].float() @ w["A"].float()).norm(dim=1)


def exact_linear(x, w, columns=4096):
    """The layer in float64 on its first columns."""
    rows = slice(0, columns)
    x, W, A, B = x.double(), w["W"][rows].double(), w["A"].double(), w["B"][rows].double()
    return w["g"][rows].double() * (x @ W.T + SCALING * (x @ A.T) @ B.T)


def relative_error(got, exact):
    """‖got − exact‖ / ‖exact‖."""
    return (got.double() - exact).norm().item() / exact.norm().item()
