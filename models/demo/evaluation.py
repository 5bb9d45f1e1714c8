"""Accuracy on held-out questions: greedy answers, exact match, 95 % Wilson intervals."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass

import numpy as np
import torch
from peft.tuners.lora import LoraLayer
from peft.tuners.lora.dora import DoraLinearLayer
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from .dataset import Example, held_out
from .draw import draw
from .intervals import wilson
from .questions import Question, Task
from .tokenizer import answer_ids, question_ids
from .training import AnswerModel, pixels_of

LONGEST_ANSWER = 24


@dataclass(frozen=True)
class TestSet:
    """Held-out questions of one task with their pictures, drawn once."""

    task: Task
    items: list[tuple[Example, Question]]
    pictures: np.ndarray

    @staticmethod
    def make(task: Task, count: int) -> TestSet:
        """Draws `count` held-out pictures with one question each."""
        items = held_out(task, count)
        return TestSet(task, items, np.stack([np.asarray(draw(e.scene)) for e, _ in items]))


def evaluate(model: AnswerModel, tokenizer: PreTrainedTokenizerFast, test: TestSet) -> dict:
    """Accuracy over a test set, in all, by topic and by right answer's length or value."""
    answers = greedy_answers(model, tokenizer, test)
    right = [a == q.answer for a, (_, q) in zip(answers, test.items, strict=True)]
    by_topic: dict[str, list[bool]] = defaultdict(list)
    by_answer: dict[str, list[bool]] = defaultdict(list)
    for ok, (_, question) in zip(right, test.items, strict=True):
        by_topic[question.topic].append(ok)
        key = f"{len(question.answer)} digits" if test.task == "reading" else question.answer
        by_answer[key].append(ok)
    wrong = Counter(
        f"{q.text} {q.answer} / {a}" for a, ok, (_, q) in zip(answers, right, test.items, strict=True) if not ok
    )
    return {
        **asdict(wilson(sum(right), len(right))),
        "by_topic": {k: [sum(v), len(v)] for k, v in sorted(by_topic.items())},
        "by_answer": {k: [sum(v), len(v)] for k, v in sorted(by_answer.items())} if test.task != "plain" else {},
        "some_wrong": list(wrong)[:8],
    }


@torch.no_grad()
def greedy_answers(model: AnswerModel, tokenizer: PreTrainedTokenizerFast, test: TestSet) -> list[str]:
    """Greedy answers, recomputed from the start for every token: no cache, so nothing to get wrong."""
    device = model.prefix.device
    pixels = pixels_of(torch.from_numpy(test.pictures).to(device))
    prompts = [question_ids(tokenizer, q.text) for _, q in test.items]
    texts = torch.zeros((len(prompts), max(map(len, prompts)) + LONGEST_ANSWER), dtype=torch.long, device=device)
    ends = torch.tensor([len(p) for p in prompts], device=device)
    for i, prompt in enumerate(prompts):
        texts[i, : len(prompt)] = torch.tensor(prompt, device=device)
    starts, rows = ends.clone(), torch.arange(len(prompts), device=device)
    alive = torch.ones(len(prompts), dtype=torch.bool, device=device)
    for _ in range(LONGEST_ANSWER):
        if not alive.any():
            break
        going = rows[alive]
        token = _next_tokens(model, pixels[going], texts[going], ends[going])
        texts[going, ends[going]] = token
        alive[going] = token != tokenizer.eos_token_id
        ends += alive
    return [tokenizer.decode(texts[i, starts[i] : ends[i]].tolist()) for i in range(len(prompts))]


def _next_tokens(model: AnswerModel, pixels: Tensor, texts: Tensor, ends: Tensor) -> Tensor:
    chosen = []
    for i in range(0, len(texts), 256):
        part = slice(i, i + 256)
        owner = torch.arange(len(texts[part]), device=texts.device)
        logits = model(pixels[part], owner, texts[part])
        chosen.append(logits[owner, ends[part]].argmax(-1))
    return torch.cat(chosen)


class GainReplacedByOne:
    """Context in which every DoRA layer has g = 1, that is y = W x + s B A x with the trained A and B.

    g is m / |W + s B A|, so m is replaced by that norm.
    """

    def __init__(self, model: nn.Module, adapter: str) -> None:
        self.adapter = adapter
        self.layers = [m for m in model.modules() if isinstance(m, LoraLayer) and adapter in m.lora_magnitude_vector]
        self.trained: list[Tensor] = []

    def __enter__(self) -> None:
        for layer in self.layers:
            dora, norm = self._parts(layer)
            self.trained.append(dora.weight.data)
            dora.weight.data = norm

    def __exit__(self, *_: object) -> None:
        for layer, trained in zip(self.layers, self.trained, strict=True):
            layer.lora_magnitude_vector[self.adapter].weight.data = trained

    def gains(self) -> Tensor:
        """All g of the adapter in one vector."""
        parts = [self._parts(layer) for layer in self.layers]
        return torch.cat([dora.weight.data / norm for dora, norm in parts])

    @torch.no_grad()
    def _parts(self, layer: LoraLayer) -> tuple[DoraLinearLayer, Tensor]:
        dora = layer.lora_magnitude_vector[self.adapter]
        update = layer.lora_B[self.adapter].weight @ layer.lora_A[self.adapter].weight
        norm = torch.linalg.norm(layer.get_base_layer().weight + layer.scaling[self.adapter] * update, dim=1)
        return dora, norm


def encoders(tokenizer: PreTrainedTokenizerFast):
    """Question and answer encoders of a tokenizer, remembering what they have seen."""
    seen: dict[tuple[bool, str], list[int]] = {}

    def remember(is_answer: bool, text: str) -> list[int]:
        key = (is_answer, text)
        if key not in seen:
            seen[key] = (answer_ids if is_answer else question_ids)(tokenizer, text)
        return seen[key]

    return (lambda text: remember(False, text)), (lambda text: remember(True, text))
