"""What PEFT answers with the same weights: `python peft_logits.py FOLDER`.

Greedy tokens after a random prompt, as PEFT's model in bfloat16 chooses them, with its logits; and the logits of the
same sequence in float32. Writes FOLDER/peft.json and the logits, float32 [steps, vocabulary], beside it.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import torch
from meta_model import adapted
from shape import CONFIG, RANK, SCALING
from torch import nn
from weights import TYPES, size

PROMPT, STEPS = 512, 64


def main(folder: Path) -> None:
    """First in bfloat16, then in float32."""
    model = loaded(folder)
    prompt = torch.randint(0, CONFIG["vocab_size"], (1, PROMPT), generator=torch.Generator().manual_seed(0)).cuda()
    started = time.monotonic()
    result = model.generate(
        prompt,
        attention_mask=torch.ones_like(prompt),
        min_new_tokens=STEPS,
        max_new_tokens=STEPS,
        do_sample=False,
        output_logits=True,
        return_dict_in_generate=True,
    )
    print(f"PEFT, bfloat16: {STEPS} tokens in {time.monotonic() - started:.1f} s")
    tokens = result.sequences[0]
    (folder / "peft.bin").write_bytes(torch.cat(result.logits).float().cpu().numpy().tobytes())
    with torch.no_grad():
        exact = model.float()(tokens[None, :-1]).logits[0, PROMPT - 1 :]
    (folder / "peft32.bin").write_bytes(exact.float().cpu().numpy().tobytes())
    (folder / "peft.json").write_text(json.dumps({"prompt": PROMPT, "tokens": tokens.tolist()}))


def loaded(folder: Path) -> nn.Module:
    """PEFT's model on the GPU, with the data file's weights."""
    model = adapted(CONFIG, RANK, SCALING)
    entries = json.loads((folder / "weights.json").read_text())
    data = torch.from_file(str(folder / "weights.bin"), size=(folder / "weights.bin").stat().st_size, dtype=torch.uint8)
    state = {
        entry["name"]: part(data, entry).to("cuda")
        for entry in entries
        if not entry["name"].endswith("dora_gain.default")
    }
    missing = model.load_state_dict(state, strict=False, assign=True).missing_keys
    for name in missing:  # the norms of the heads, which are small enough to lie in the graph
        assert name.endswith(("q_norm.weight", "k_norm.weight")), name
        parent = model.get_submodule(name.removesuffix(".weight"))
        parent.weight = nn.Parameter(torch.ones_like(parent.weight, device="cuda"))
    rotary = model.model.rotary_emb
    model.model.rotary_emb = type(rotary)(model.config).to("cuda")
    return model.eval().requires_grad_(False)


def part(data: torch.Tensor, entry: dict) -> torch.Tensor:
    """One tensor of the file."""
    start = entry["offset"]
    return data[start : start + size(entry)].view(TYPES[entry["type"]]).view(entry["dims"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
