"""The gated delta rule as it is exported, against both forms in transformers; the graph, on padded prompts."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: models/setup.sh")
pytest.importorskip("peft", reason="PEFT is not installed: models/setup.sh")

import numpy as np  # noqa: E402
import onnxruntime as ort  # noqa: E402
from transformers.cache_utils import DynamicCache  # noqa: E402
from transformers.models.qwen3_5.modeling_qwen3_5 import (  # noqa: E402
    torch_chunk_gated_delta_rule,
    torch_recurrent_gated_delta_rule,
)

from models.export.families import family_of  # noqa: E402
from models.export.families.qwen3_5 import gated_delta_rule  # noqa: E402
from models.export.graph import GraphOptions, export_graph  # noqa: E402
from models.families.tiny import build  # noqa: E402

KEY_HEADS, VALUE_HEADS, KEY_DIM, VALUE_DIM = 2, 4, 8, 6
CALLS = ([1, 1], [5, 1, 1], [40, 7, 1])
"""Lengths of successive calls: prefill of one token, of few, of more than the convolution sees, and in two pieces."""


@pytest.mark.parametrize("length", [1, 2, 65, 200])
@pytest.mark.parametrize("reference", [torch_chunk_gated_delta_rule, torch_recurrent_gated_delta_rule])
def test_rule_equals_both_of_transformers(reference: object, length: int) -> None:
    generator = torch.Generator().manual_seed(length)
    query, key = (torch.randn(2, length, KEY_HEADS, KEY_DIM, generator=generator) for _ in range(2))
    value = torch.randn(2, length, VALUE_HEADS, VALUE_DIM, generator=generator)
    log_decay = -3 * torch.rand(2, length, VALUE_HEADS, generator=generator)
    beta = torch.rand(2, length, VALUE_HEADS, generator=generator)
    state = torch.randn(2, VALUE_HEADS, KEY_DIM, VALUE_DIM, generator=generator)
    expected = reference(
        query,
        key,
        value,
        g=log_decay,
        beta=beta,
        initial_state=state,
        output_final_state=True,
        use_qk_l2norm_in_kernel=True,
    )
    with torch.no_grad():
        actual = gated_delta_rule(query, key, value, log_decay, beta, state)
    for one, other in zip(actual, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = build("qwen3_5")
    part = next(p for p in family_of("qwen3_5")(model, torch.float32) if p.name == "decoder_model_merged")
    path = tmp_path_factory.mktemp("qwen3_5") / "decoder.onnx"
    path.write_bytes(export_graph(part, GraphOptions()).SerializeToString())
    return path


@torch.no_grad()
@pytest.mark.parametrize("lengths", CALLS)
@pytest.mark.parametrize("padding", [0, 3])
def test_graph_equals_the_model(exported: Path, lengths: list[int], padding: int) -> None:
    """Two prompts, the second with padding at its left where the first call is long enough."""
    padding = min(padding, lengths[0] - 1)
    model, session = build("qwen3_5"), ort.InferenceSession(exported, providers=["CPUExecutionProvider"])
    past = {
        i.name: np.zeros([s if isinstance(s, int) else 2 if axis == 0 else 0 for axis, s in enumerate(i.shape)], "f")
        for i in session.get_inputs()
        if i.name.startswith("past")
    }
    names = [o.name for o in session.get_outputs()]
    ids = torch.randint(20, 64, (2, sum(lengths)), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[1, :padding] = 0
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[None].repeat(3, 1, 1)
    cache, seen = DynamicCache(config=model.config.get_text_config()), 0
    for length in lengths:
        here, total = slice(seen, seen + length), mask[:, : seen + length]
        embeds = model.get_input_embeddings()(ids[:, here])
        result = model.model.language_model(
            inputs_embeds=embeds, attention_mask=total, position_ids=positions[:, :, here], past_key_values=cache
        )
        feeds = {"inputs_embeds": embeds, "attention_mask": total, "position_ids": positions[:, :, here]}
        outputs = session.run(None, {**{n: t.numpy() for n, t in feeds.items()}, **past})
        named = dict(zip(names, outputs, strict=True))
        real = mask[:, here].bool().numpy()
        expected = model.lm_head(result.last_hidden_state).numpy()
        np.testing.assert_allclose(named.pop("logits")[real], expected[real], rtol=1e-4, atol=1e-4)
        past = {n.replace("present_", "past_").replace("present.", "past_key_values."): v for n, v in named.items()}
        seen += length
