"""DoraLinear against the same layer from cuBLAS products, over a grid: where is the fused operator slower?

    python benchmarks/kernels/sweep.py LIBRARY [--json FILE] [--quick]

The unfused path is the shortest that computes the layer: x·Wᵀ, x·Aᵀ, addmm for the low-rank part, a product with g; four launches in one
captured graph (float32 adapters: the last three in float32, and two conversions). Prints the geometric mean and the worst point of each dtype, layout and number of tokens, and every point above
1.03. LIBRARY and the timing are those of operators.py.
"""

import torch
from layers import SCALING, layer, normal, stored
from library import Library
from report import arguments, geometric_mean, write
from timing import Timer

SHAPES = [
    (1024, 1024),
    (1024, 4096),
    (4096, 1024),
    (2560, 2560),
    (4096, 4096),
    (14336, 4096),
    (4096, 14336),
    (8192, 8192),
]
RANKS = [8, 16, 64, 256, 384]
TOKENS = [1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 128, 512, 2048]
LIMIT = 1.03


def unfused(x, w, y):
    W, A, B, g = w["W"].T, w["A"].T, w["B"].T, w["g"].to(x.dtype)
    h, base = torch.empty(x.shape[0], A.shape[1], dtype=A.dtype, device="cuda"), torch.empty_like(y)

    def call():
        torch.mm(x, W, out=base)
        torch.mm(x.to(A.dtype), A, out=h)
        if A.dtype == x.dtype:
            torch.addmm(base, h, B, alpha=SCALING, out=y)
            y.mul_(g)
        else:
            torch.mul(torch.addmm(base.to(A.dtype), h, B, alpha=SCALING), g, out=y)

    return call


def measure(library, timer, dtype, adapter, transposed, quick):
    for out, inner in SHAPES[::3] if quick else SHAPES:
        for rank in (16, 384) if quick else RANKS:
            w = layer(out, inner, rank, dtype=dtype, adapter=adapter)
            held = stored(w, transposed)
            for tokens in TOKENS:
                x, y = normal(tokens, inner, dtype=dtype), torch.empty(tokens, out, dtype=dtype, device="cuda")
                fused = library.linear(x, held["W"], held["A"], held["B"], w["g"], y, SCALING, trans=(transposed,) * 3)
                us, other = timer(fused, repeats=7), timer(unfused(x, w, y), repeats=7)
                yield {
                    "dtype": str(dtype).removeprefix("torch."),
                    "adapter": str(adapter or dtype).removeprefix("torch."),
                    "transposed": transposed,
                    "out": out,
                    "in": inner,
                    "rank": rank,
                    "tokens": tokens,
                    "us": us,
                    "unfused_us": other,
                    "ratio": us / other,
                }


def main():
    parser = arguments()
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(1)
    library, timer = Library(options.library), Timer()
    points = []
    for dtype, adapter in [(torch.bfloat16, None), (torch.bfloat16, torch.float32), (torch.float16, None)]:
        for transposed in (False, True):
            points += measure(library, timer, dtype, adapter, transposed, options.quick)

    def key(p):
        return p["dtype"], p["adapter"], p["transposed"], p["tokens"]

    for k in sorted({key(p) for p in points}):
        group = [p for p in points if key(p) == k]
        worst = max(group, key=lambda p: p["ratio"])
        mean = geometric_mean([p["ratio"] for p in group])
        print(
            f"{k[0]} adapter {k[1]} transposed={k[2]} T={k[3]}: {mean:.2f}, worst {worst['ratio']:.2f} at {worst['out']}x{worst['in']} r={worst['rank']}"
        )
    slower = [p for p in points if p["ratio"] > LIMIT]
    print(f"{len(slower)} of {len(points)} points above {LIMIT}")
    for p in sorted(slower, key=lambda p: -p["ratio"])[:40]:
        print(
            f"  {p['ratio']:.2f} {p['dtype']} adapter {p['adapter']} transposed={p['transposed']} {p['out']}x{p['in']} r={p['rank']} T={p['tokens']}: {p['us']:.1f} / {p['unfused_us']:.1f} us"
        )
    write(options, points=points)


if __name__ == "__main__":
    main()
