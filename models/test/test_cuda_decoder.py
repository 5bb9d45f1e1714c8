"""The decoder with ONNX Runtime's own attention, against transformers and PEFT: a prompt, then token by token."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed: models/setup.sh")
pytest.importorskip("peft", reason="PEFT is not installed: models/setup.sh")

import numpy as np  # noqa: E402
import onnx_ir as ir  # noqa: E402
import onnxruntime  # noqa: E402
from peft import LoraConfig, get_peft_model  # noqa: E402
from torch import nn  # noqa: E402
from transformers import Qwen3Config, Qwen3ForCausalLM  # noqa: E402

from models.export.cuda_decoder import to_graph  # noqa: E402

LONGEST = 24
PROMPT, STEPS = 9, 6
CONFIG = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 64,
    "tie_word_embeddings": False,
}


def model(*, adapted: bool) -> nn.Module:
    """Small and random, with norms and magnitudes that are not ones, and B that is not 0."""
    torch.manual_seed(0)
    base = Qwen3ForCausalLM(Qwen3Config(**CONFIG))
    if adapted:
        adapter = LoraConfig(r=4, lora_alpha=8, use_dora=True, target_modules="all-linear", init_lora_weights=False)
        base = get_peft_model(base, adapter).get_base_model()
    for name, parameter in base.named_parameters():
        if "norm" in name or "magnitude" in name:
            parameter.data *= 0.5 + torch.rand_like(parameter)
    return base.eval().requires_grad_(False)


@pytest.mark.parametrize("adapted", [False, True])
def test_logits_are_those_of_transformers(adapted: bool, tmp_path: Path) -> None:
    """Greedy tokens, and the logits of the prompt's last token and of each one after it."""
    tokens = torch.randint(0, CONFIG["vocab_size"], (1, PROMPT), generator=torch.Generator().manual_seed(1))
    reference = model(adapted=adapted).generate(
        tokens, max_new_tokens=STEPS, do_sample=False, output_logits=True, return_dict_in_generate=True
    )
    path = tmp_path / "model.onnx"
    ir.save(to_graph(model(adapted=adapted), LONGEST), path)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    buffers = {
        i.name.removeprefix("past_key_values."): np.zeros((1, 2, LONGEST, 16), np.float32)
        for i in session.get_inputs()
        if i.name.startswith("past")
    }
    seen, given = 0, tokens.numpy()
    for step in range(STEPS):
        seen += given.shape[1]
        feeds = {
            "input_ids": given,
            "seqlens_k": np.array([seen - 1], np.int32),
            "total_sequence_length": np.array([seen], np.int32),
            **{f"past_key_values.{name}": buffer for name, buffer in buffers.items()},
        }
        outputs = dict(zip([o.name for o in session.get_outputs()], session.run(None, feeds), strict=True))
        np.testing.assert_allclose(outputs["logits"][:, 0], reference.logits[step].numpy(), atol=2e-5)
        buffers = {name: outputs[f"present.{name}"] for name in buffers}
        given = outputs["logits"].argmax(-1)
        assert given[0, 0] == reference.sequences[0, PROMPT + step]


def test_shapes_are_not_computed(tmp_path: Path) -> None:
    """Nothing runs on the CPU in the middle of a graph."""
    graph = to_graph(model(adapted=False), LONGEST).graph
    kinds = {node.op_type for node in graph}
    assert not kinds & {"Shape", "Concat", "Expand", "Add", "Range", "Where"}
    assert sum(node.op_type == "SkipSimplifiedLayerNormalization" for node in graph) == 2 * CONFIG["num_hidden_layers"]
