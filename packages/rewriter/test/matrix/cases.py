"""What is exported: every exporter setting with a plain layer, and every kind of model with a few exporter settings."""

from dataclasses import dataclass, field

LEGACY_OPSETS = range(11, 21)
DYNAMO_OPSETS = range(18, 24)

# Layers of up to 64 × 128 fold away in dynamo's optimiser, identity matrices of up to 512 rows become constants, and
# those of larger layers stay in the graph.
WIDE = {"inputs": 640, "outputs": 4, "rank": 2}
SQUARE = {"inputs": 6, "outputs": 6, "rank": 6}
MIDDLE = {"inputs": 192, "outputs": 48, "rank": 2}


@dataclass(frozen=True)
class Case:
    """One export."""

    name: str
    exporter: str
    opset: int
    # Constant folding of the legacy exporter, dynamo's optimiser.
    optimize: bool
    model: dict = field(default_factory=dict)
    # Axes of x.
    rank: int = 3
    # Changes to the exported graph, of changes.py.
    changes: tuple = ()


MODELS = {
    "plain": {},
    "no_bias": {"bias": "none"},
    "zero_bias": {"bias": "zero"},
    "s1": {"alpha": 4},
    "negative_s": {"alpha": -3},
    "rslora": {"rslora": True},
    "rank_pattern": {"net": "stack", "rank_pattern": {"down_proj": 2}},
    "alpha_pattern": {"net": "stack", "alpha_pattern": {"up_proj": 3}},
    "r1": {"rank": 1},
    # Every matrix square and of one size: shapes show no mistake.
    "square": SQUARE,
    "square_no_bias": {**SQUARE, "bias": "none"},
    "square_mixed": {**SQUARE, "dtype": "float16", "mixed": True},
    "square_two_adapters": {**SQUARE, "adapters": 2},
    "square_siblings": {**SQUARE, "net": "siblings"},
    "square_warm": {**SQUARE, "warm": True},
    "float16": {"dtype": "float16"},
    "float16_no_bias": {"dtype": "float16", "bias": "none"},
    "bfloat16": {"dtype": "bfloat16"},
    "mixed_float16": {"dtype": "float16", "mixed": True},
    "mixed_float16_no_bias": {"dtype": "float16", "mixed": True, "bias": "none"},
    "mixed_bfloat16": {"dtype": "bfloat16", "mixed": True},
    "two_adapters": {"adapters": 2},
    "three_adapters": {"adapters": 3, "bias": "none"},
    "two_adapters_mixed": {"adapters": 2, "dtype": "float16", "mixed": True},
    "two_adapters_siblings": {"adapters": 2, "net": "siblings"},
    "siblings": {"net": "siblings"},
    "siblings_mixed": {"net": "siblings", "dtype": "float16", "mixed": True},
    "twice": {"net": "twice"},
    "tied": {"net": "tied"},
    "dropout": {"dropout": 0.1},
    "hotswap": {"hotswap": True},
    "warm": {"warm": True},
    "warm_mixed": {"warm": True, "dtype": "float16", "mixed": True},
}

# The adapted layers of a net in the order of the graph, and how often each is called.
LAYERS = {
    "one": ("q_proj",),
    "siblings": ("q_proj", "k_proj", "v_proj"),
    "twice": ("q_proj", "q_proj"),
    "tied": ("q_proj",),
    "stack": ("up_proj", "down_proj"),
}
# Rank and alpha of further adapters.
MORE_ADAPTERS = {"second": (2, 1), "third": (2, 2)}


def expected_modules(net="one", rank=4, alpha=8, rslora=False, rank_pattern=None, alpha_pattern=None, adapters=1, **_):
    """What is to be found: path, adapter, rank and scaling of each call of an adapted layer, as PEFT defines them."""
    found = []
    for path in LAYERS[net]:
        r = (rank_pattern or {}).get(path, rank)
        own_alpha = (alpha_pattern or {}).get(path, alpha)
        found.append({"path": path, "adapter": "default", "rank": r, "scaling": own_alpha / (r**0.5 if rslora else r)})
        for adapter, (r, own_alpha) in list(MORE_ADAPTERS.items())[: adapters - 1]:
            found.append({"path": path, "adapter": adapter, "rank": r, "scaling": own_alpha / r})
    return found


# Kept for mutations.test.ts, whatever else shows their structures.
MUTATED = {
    "torch2.15.0-peft0.21.2": (
        *("legacy_square", "legacy_square_folded", "legacy_square_mixed", "legacy_square_two_adapters"),
        *("legacy_square_warm", "legacy_2d_square", "dynamo_square", "dynamo_square_optimized", "dynamo_2d_square"),
        *("dynamo_square_siblings", "dynamo_square_mixed", "dynamo_norm_pow"),
    ),
    "torch2.15.0-peft0.13.2": ("legacy_square_two_adapters", "dynamo_square_two_adapters_optimized"),
    "torch2.6.0-peft0.14.0": ("dynamo_square", "dynamo_square_optimized"),
    "torch2.4.1-peft0.9.0": ("legacy_square",),
}

# Changes to graphs that keep A, B and m under their names.
CHANGES = {
    "constants": ("initializers_as_constants",),
    "adapter_inputs": ("adapters_as_inputs",),
    "adapter_inputs_with_defaults": ("adapters_as_overridable",),
    "adapter_inputs_any_rank": ("adapters_as_inputs_of_any_rank",),
    "weight_by_identity": ("weight_through_identity",),
    "norm_mul": ("norm_as_mul",),
    "norm_pow": ("norm_as_pow",),
    "norm_sum_square": ("norm_as_sum_square",),
    "norm_float64": ("norm_in_float64",),
    "direct": ("direct_product",),
}


def cases(dynamo):
    """All cases; those of dynamo where this torch has it for torch.onnx.export."""
    found = [*legacy()]
    if dynamo:
        found += dynamo_cases()
    return found


def legacy():
    for opset in LEGACY_OPSETS:
        for fold in (False, True):
            yield Case(f"legacy_opset{opset}{folded(fold)}", "legacy", opset, fold)
    for fold in (False, True):
        for rank in (2, 4):
            for bias in ("random", "none", "zero"):
                name = f"legacy_{rank}d_{bias}_bias{folded(fold)}"
                yield Case(name, "legacy", 17, fold, {"bias": bias}, rank=rank)
        for name, model in MODELS.items():
            yield Case(f"legacy_{name}{folded(fold)}", "legacy", 17, fold, model)
        yield Case(f"legacy_2d_mixed{folded(fold)}", "legacy", 17, fold, {"dtype": "float16", "mixed": True}, rank=2)
        yield Case(f"legacy_2d_square{folded(fold)}", "legacy", 17, fold, SQUARE, rank=2)
    for name, changes in CHANGES.items():
        yield Case(f"legacy_{name}", "legacy", 17, False, changes=changes)
        yield Case(f"legacy_{name}_mixed", "legacy", 18, False, {"dtype": "float16", "mixed": True}, changes=changes)


def dynamo_cases():
    for opset in DYNAMO_OPSETS:
        yield Case(f"dynamo_opset{opset}", "dynamo", opset, False)
        yield Case(f"dynamo_opset{opset}_wide_optimized", "dynamo", opset, True, WIDE)
        yield Case(f"dynamo_opset{opset}_optimized", "dynamo", opset, True)
    for optimize in (False, True):
        for rank in (2, 4):
            for bias in ("random", "none", "zero"):
                model = {"bias": bias, **(WIDE if optimize else {})}
                yield Case(f"dynamo_{rank}d_{bias}_bias{optimized(optimize)}", "dynamo", 20, optimize, model, rank=rank)
        yield Case(f"dynamo_2d_square{optimized(optimize)}", "dynamo", 20, optimize, SQUARE, rank=2)
        for name, model in MODELS.items():
            yield Case(f"dynamo_{name}{optimized(optimize)}", "dynamo", 20, optimize, model)
    for name, model in MODELS.items():
        if model.get("net") != "stack" and "inputs" not in model:
            yield Case(f"dynamo_wide_{name}_optimized", "dynamo", 20, True, {**WIDE, **model})
    yield Case("dynamo_middle_optimized", "dynamo", 20, True, MIDDLE)
    yield Case("dynamo_middle_2d_optimized", "dynamo", 20, True, MIDDLE, rank=2)
    for name, changes in CHANGES.items():
        yield Case(f"dynamo_{name}", "dynamo", 20, False, changes=changes)


def folded(fold):
    return "_folded" if fold else ""


def optimized(optimize):
    return "_optimized" if optimize else ""
