"""Times the CUDA operators beside cuBLAS and eager PyTorch on this machine's GPU: a table on stdout, JSON with --json.

    python benchmarks/kernels/operators.py LIBRARY [--json FILE] [--only linear,scale,compose,grad,bank] [--quick]

LIBRARY is libort_dora_kernels_bench.so; README.md says how to build it.
"""

import torch
from layers import SCALING, SHAPES, exact_linear, layer, normal, relative_error, stored
from library import Library
from report import arguments, geometric_mean, write
from timing import Timer

# The shapes of activations that arXiv 2603.22276 reports.
ACTIVATIONS = [(rows, 512) for rows in (1, 512, 2048, 8192)] + [(rows, 4096) for rows in (1, 512, 2048, 4096)]
ACTIVATIONS += [(2048, channels) for channels in (1024, 2048, 3072, 6144, 8192, 12288, 16384, 28672)]
ACTIVATIONS += [(8192, 8192), (16384, 8192), (32768, 8192), (8192, 28672)]


def bench_linear(library, timer, quick):
    results = []
    configurations = [(384, None, 0), (384, None, 1), (384, torch.float32, 0), (16, None, 0)]
    for rank, adapter, layout in configurations:
        for tokens in (1, 16) if quick else (1, 4, 8, 16, 32, 64, 256, 1024, 4096):
            for out, inner in SHAPES:
                w = layer(out, inner, rank, adapter=adapter)
                x, y = (
                    normal(tokens, inner),
                    torch.full((tokens, out), float("nan"), dtype=torch.bfloat16, device="cuda"),
                )
                held = stored(w, layout == 1)
                operands = (x, held["W"], held["A"], held["B"], w["g"], y, SCALING)
                call = library.linear(*operands, trans=(layout == 1,) * 3)
                call()
                error = relative_error(y[:, :4096], exact_linear(x, w))
                plain = torch.empty_like(y)
                baseline = timer(lambda: torch.mm(x, w["W"].T, out=plain))
                ours = timer(call)
                # The kernel for many rows, on the rows that the other one takes.
                gemm = None
                if tokens <= 64 and adapter is None:
                    gemm = timer(library.linear(*operands, trans=(layout == 1,) * 3, name="dora_linear_gemm"))
                results.append(
                    {
                        "op": "linear",
                        "out": out,
                        "in": inner,
                        "rank": rank,
                        "tokens": tokens,
                        "adapter": "float32" if adapter else "bfloat16",
                        "transposed": layout,
                        "us": ours,
                        "lin_us": baseline,
                        "ratio": ours / baseline,
                        "gemm_us": gemm,
                        "error": error,
                        "cublas_error": relative_error(plain[:, :4096], x.double() @ w["W"][:4096].double().T),
                    }
                )
                del w, x, y, held, plain, call
    return results


def bench_scale(library, timer, quick):
    results = []
    for out, inner in [(4096, 4096), (8192, 8192), (28672, 8192)]:
        for rank, adapter in [(384, None)] if quick else [(384, None), (384, torch.float32), (16, None)]:
            for layout in (0,) if quick else (0, 1):
                w = layer(out, inner, rank, adapter=adapter)
                m = (1 + 0.1 * torch.randn(out, device="cuda")).float()
                g = torch.full((out,), float("nan"), device="cuda")
                held = stored(w, layout == 1)
                call = library.scale(held["W"], held["A"], held["B"], m, g, SCALING, trans=(layout == 1,) * 3)
                call()
                errors = []
                for first in range(0, out, 4096):
                    rows = slice(first, first + 4096)
                    dense = w["W"][rows].double() + SCALING * w["B"][rows].double() @ w["A"].double()
                    exact = m[rows].double() / dense.norm(dim=1)
                    errors.append(((g[rows].double() - exact).abs() / exact.abs()).max().item())
                results.append(
                    {
                        "op": "scale",
                        "out": out,
                        "in": inner,
                        "rank": rank,
                        "adapter": "float32" if adapter else "bfloat16",
                        "transposed": layout,
                        "us": timer(call, repeats=7),
                        "error": max(errors),
                        "workspace": call.workspace.numel(),
                    }
                )
                del w, held, call, dense
    return results


def bench_compose(library, timer, quick):
    results = []
    for rows, channels in [(4096, 4096), (8192, 28672)] if quick else ACTIVATIONS:
        base, lora = normal(rows, channels), normal(rows, channels)
        out, g = torch.empty_like(base), (1 + 0.1 * torch.randn(channels, device="cuda")).float()
        call = library.compose(base, lora, g, out, SCALING)
        call()
        exact = g.double() * (base[:256].double() + SCALING * lora[:256].double())
        error = relative_error(out[:256], exact)
        us = timer(call)
        copied = timer(lambda: out.copy_(base))
        size = base.numel() * 2
        results.append(
            {
                "op": "compose",
                "rows": rows,
                "channels": channels,
                "us": us,
                "bytes_per_second": 3 * size / us * 1e6,
                "copy_bytes_per_second": 2 * size / copied * 1e6,
                "share_of_copy": 3 * size / us / (2 * size / copied),
                "error": error,
            }
        )
    return results


def bench_grad(library, timer, quick):
    results = []
    for rows, channels in [(4096, 4096), (8192, 28672)] if quick else ACTIVATIONS:
        dy, base, lora = normal(rows, channels), normal(rows, channels), normal(rows, channels)
        g = (1 + 0.1 * torch.randn(channels, device="cuda")).float()
        d_base, d_lora, d_g = torch.empty_like(base), torch.empty_like(base), torch.empty(channels, device="cuda")
        call = library.compose_grad(dy, base, lora, g, d_base, d_lora, d_g, SCALING)
        call()
        columns = slice(0, 4096)
        exact = (dy[:, columns].double() * (base[:, columns].double() + SCALING * lora[:, columns].double())).sum(0)

        def eager():
            scaled = g.to(dy.dtype) * dy
            return scaled, SCALING * scaled, (dy * (base + SCALING * lora)).sum(0)

        us, eager_us = timer(call), timer(eager)
        copied = timer(lambda: d_base.copy_(base))
        size = base.numel() * 2
        results.append(
            {
                "op": "compose_grad",
                "rows": rows,
                "channels": channels,
                "us": us,
                "eager_us": eager_us,
                "speedup": eager_us / us,
                "share_of_copy": 5 * size / us / (2 * size / copied),
                "error": relative_error(d_g[columns], exact),
            }
        )
    return results


def bench_bank(library, timer, quick):
    """Runs of a row, each with an adapter of its own or all with one; runs of many rows."""
    results = []
    rank = 16
    for out, inner in [(4096, 4096)] if quick else SHAPES:
        slots = 64
        w = normal(out, inner, deviation=inner**-0.5)
        bank = normal(slots, rank * (inner + out), deviation=inner**-0.5)
        gains = (1 + 0.1 * torch.randn(slots, out, device="cuda")).float()
        scaling = torch.full((slots,), SCALING, device="cuda")
        ranks = torch.full((slots,), rank, dtype=torch.int32, device="cuda")
        for rows, runs, distinct in [
            (64, 64, True),
            (64, 64, False),
            (16, 16, True),
            (1, 1, True),
            (1024, 4, True),
            (4096, 1, True),
        ]:
            slot = (torch.randperm(slots) if distinct else torch.full((slots,), 7))[:runs].int().cuda()
            x, y = normal(rows, inner), torch.full((rows, out), float("nan"), dtype=torch.bfloat16, device="cuda")
            for transposed in (False, True):
                held = w.T.contiguous() if transposed else w
                call = library.linear_bank(x, held, bank, gains, scaling, ranks, slot, y, rank, transposed)
                call()
                error = 0.0
                for i, s in enumerate(slot.tolist()[:4]):
                    part = slice(i * rows // runs, (i + 1) * rows // runs)
                    A, B = bank[s, : rank * inner].view(rank, inner), bank[s, rank * inner :].view(out, rank)
                    error = max(
                        error,
                        relative_error(y[part, :4096], exact_linear(x[part], {"W": w, "A": A, "B": B, "g": gains[s]})),
                    )
                A, B = bank[7, : rank * inner].view(rank, inner), bank[7, rank * inner :].view(out, rank)
                single_y = torch.empty_like(y)
                single = library.linear(x, held, A, B, gains[7], single_y, SCALING, trans=(transposed, False, False))
                read = torch.empty(
                    (w.numel() + min(slots, runs if distinct else 1) * rank * (inner + out)),
                    dtype=torch.bfloat16,
                    device="cuda",
                )
                copied = timer(lambda: read[: read.numel() // 2].copy_(read[read.numel() // 2 :]))
                us, single_us = timer(call), timer(single)
                results.append(
                    {
                        "op": "linear_bank",
                        "out": out,
                        "in": inner,
                        "rank": rank,
                        "rows": rows,
                        "runs": runs,
                        "adapters": int(slot.unique().numel()),
                        "transposed": int(transposed),
                        "us": us,
                        "linear_us": single_us,
                        "over_linear": us / single_us,
                        # The time to move as many bytes as W and the adapters in use have, reads and writes counted, in the same run.
                        "bytes_us": copied,
                        "over_bytes": us / copied,
                        "error": error,
                    }
                )
    return results


def print_tables(results):
    linear = [r for r in results if r["op"] == "linear"]
    for key in sorted({(r["rank"], r["adapter"], r["transposed"], r["tokens"]) for r in linear}):
        rows = [r for r in linear if (r["rank"], r["adapter"], r["transposed"], r["tokens"]) == key]
        cells = " ".join(f"{r['out']}x{r['in']} {r['us']:.1f}/{r['lin_us']:.1f}" for r in rows)
        worst = max(r["error"] / r["cublas_error"] for r in rows)
        mean = geometric_mean([r["ratio"] for r in rows])
        gemm = geometric_mean([r["gemm_us"] / r["lin_us"] for r in rows]) if rows[0]["gemm_us"] else float("nan")
        print(
            f"linear r={key[0]} {key[1]} transposed={key[2]} T={key[3]}: ratio {mean:.3f} (gemm {gemm:.3f}) error/cublas {worst:.2f} | {cells}"
        )
    for r in results:
        if r["op"] != "linear":
            print(" ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in r.items()))


def main():
    parser = arguments()
    parser.add_argument("--only", default="linear,scale,compose,grad,bank")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    torch.manual_seed(1)
    library, timer = Library(options.library), Timer()
    benches = {
        "linear": bench_linear,
        "scale": bench_scale,
        "compose": bench_compose,
        "grad": bench_grad,
        "bank": bench_bank,
    }
    results = []
    for name in options.only.split(","):
        results += benches[name](library, timer, options.quick)
    print_tables(results)
    write(options, results=results)


if __name__ == "__main__":
    main()
