"""The training loop shared by the base and its adapters.

The loop calls the model's own parts (vision encoder, connector, decoder, head) on batches whose picture tokens stand at
known places: the same function as the whole model's forward, without its data-dependent indexing.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from .dataset import MAX_TEXT, Pool
from .tokenizer import IMAGE_TOKENS


@dataclass(frozen=True)
class Batch:
    """`pictures` uint8 [p, side, side, 3]; `texts` int64 [q, MAX_TEXT]; `targets` likewise, -100 where no loss is
    taken; `owner` int64 [q] is each text's row in `pictures`."""

    pictures: Tensor
    texts: Tensor
    targets: Tensor
    owner: Tensor


@dataclass
class Curve:
    """What was logged while training: one entry per logging step."""

    steps: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    accuracy: list[float] = field(default_factory=list)
    """Share of answers of the training batches predicted whole, each token given the right ones before it."""


@dataclass(frozen=True)
class Schedule:
    """`rates` gives the peak learning rate of a parameter by name; `seconds` bounds the run's wall time.

    The rate follows a cosine over whichever of steps and seconds ends first.
    """

    steps: int
    seconds: float
    pictures: int
    questions: int
    warmup: int
    weight_decay: float
    rates: Callable[[str], float]
    compiled: bool


class PoolOnDevice:
    """A pool's arrays on the device, sampled there."""

    def __init__(self, pool: Pool, device: torch.device) -> None:
        order = np.argsort(pool.owner, kind="stable")
        starts = np.searchsorted(pool.owner[order], np.arange(len(pool.pictures) + 1))
        self.rows_with_questions = torch.from_numpy(np.flatnonzero(np.diff(starts))).to(device)
        self.starts = torch.from_numpy(starts).to(device)
        self.pictures = torch.empty(pool.pictures.shape, dtype=torch.uint8, device=device)
        for i in range(0, len(pool.pictures), 4096):
            self.pictures[i : i + 4096] = torch.from_numpy(pool.pictures[i : i + 4096].copy()).to(device)
        self.texts = torch.from_numpy(pool.texts[order].astype(np.int64)).to(device)
        self.answer_start = torch.from_numpy(pool.answer_start[order].astype(np.int64)).to(device)
        self.length = torch.from_numpy(pool.length[order].astype(np.int64)).to(device)
        self.device = device

    def sample(self, generator: torch.Generator, pictures: int, questions: int) -> Batch:
        """`pictures` random pictures, each with `questions` of its questions, drawn with replacement."""
        pick = torch.randint(len(self.rows_with_questions), (pictures,), generator=generator, device=self.device)
        rows = self.rows_with_questions[pick]
        first, count = self.starts[rows], self.starts[rows + 1] - self.starts[rows]
        draw = torch.rand((pictures, questions), generator=generator, device=self.device)
        chosen = (first[:, None] + (draw * count[:, None]).long()).reshape(-1)
        texts = self.texts[chosen]
        position = torch.arange(MAX_TEXT, device=self.device)
        answers = (position >= self.answer_start[chosen, None]) & (position < self.length[chosen, None])
        owner = torch.arange(pictures, device=self.device).repeat_interleave(questions)
        return Batch(self.pictures[rows], texts, texts.masked_fill(~answers, -100), owner)


class AnswerModel(nn.Module):
    """SmolVLM over a fixed prompt (opening, one picture, question, answer), sharing the wrapped weights."""

    def __init__(self, model: nn.Module, prefix: list[int], image_token: int) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("prefix", torch.tensor(prefix), persistent=False)
        self.image_at = prefix.index(image_token)

    def forward(self, pixels: Tensor, owner: Tensor, texts: Tensor) -> Tensor:
        """Logits [q, MAX_TEXT, vocabulary]: entry t predicts token t of the text.

        `pixels` float [p, 3, side, side] in -1..1.
        """
        inner = self.model.model
        images = inner.connector(inner.vision_model(pixels).last_hidden_state)[owner]
        embed = inner.text_model.get_input_embeddings()
        prefix = embed(self.prefix).expand(len(texts), -1, -1)
        before, after = prefix[:, : self.image_at], prefix[:, self.image_at + IMAGE_TOKENS :]
        inputs = torch.cat([before, images.to(before.dtype), after, embed(texts[:, :-1])], dim=1)
        hidden = inner.text_model(inputs_embeds=inputs, use_cache=False).last_hidden_state
        return self.model.lm_head(hidden[:, -texts.shape[1] :])


def train(
    model: AnswerModel, pools: list[tuple[PoolOnDevice, float]], schedule: Schedule, seed: int, log: str
) -> Curve:
    """Trains the parameters that require a gradient; each step draws its pool by the given weights."""
    device = model.prefix.device
    generator = torch.Generator(device).manual_seed(seed)
    choose = np.random.default_rng(seed)
    weights = np.array([w for _, w in pools]) / sum(w for _, w in pools)
    optimizer = torch.optim.AdamW(_groups(model, schedule), betas=(0.9, 0.98), fused=device.type == "cuda")
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    torch.compiler.reset()
    forward = torch.compile(model) if schedule.compiled else model
    curve, window, start = Curve(), _Window(), time.monotonic()
    model.train()
    for step in _steps(schedule, start):
        done = max(step / schedule.steps, (time.monotonic() - start) / schedule.seconds)
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * min(1.0, (step + 1) / schedule.warmup) * _cosine(done)
        batch = pools[choose.choice(len(pools), p=weights)][0].sample(generator, schedule.pictures, schedule.questions)
        with torch.autocast(device.type, torch.bfloat16):
            logits = forward(augmented(batch.pictures, generator), batch.owner, batch.texts)
        loss = functional.cross_entropy(logits.float().flatten(0, 1), batch.targets.flatten(), ignore_index=-100)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        window.add(loss, logits, batch.targets)
        if step % 50 == 49:
            window.flush(curve, step + 1, time.monotonic() - start)
        if step % 250 == 249:
            at = f"{log}: {step + 1} {curve.seconds[-1]:.0f}s"
            print(f"{at} loss {curve.loss[-1]:.4f} acc {curve.accuracy[-1]:.3f}", flush=True)
    model.eval()
    return curve


def augmented(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """uint8 pictures as the model's pixels, with random light, contrast, tint, softness and noise."""
    x = pictures.permute(0, 3, 1, 2).float() / 255
    n = len(x)

    def uniform(low: float, high: float, channels: int = 1) -> Tensor:
        return low + (high - low) * torch.rand((n, channels, 1, 1), generator=generator, device=x.device)

    soft = functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    x = torch.lerp(x, soft, uniform(-0.6, 1).clamp(min=0))
    x = (x - 0.5) * uniform(0.85, 1.1) + 0.5 + uniform(-0.06, 0.06) + uniform(-0.03, 0.03, 3)
    noise = torch.randn(x.shape, generator=generator, device=x.device)
    x = x + noise * uniform(-0.03, 0.04).clamp(min=0)
    return x.clamp(0, 1) * 2 - 1


def pixels_of(pictures: Tensor) -> Tensor:
    """uint8 pictures as the processor gives them to the model: float [n, 3, side, side] in -1..1."""
    return pictures.permute(0, 3, 1, 2).float() / 127.5 - 1


class _Window:
    """Sums of a few steps, kept on the device so that logging does not wait for it at every step."""

    def __init__(self) -> None:
        self.loss: list[Tensor] = []
        self.right: list[Tensor] = []

    def add(self, loss: Tensor, logits: Tensor, targets: Tensor) -> None:
        guess = logits.detach().argmax(-1)
        self.loss.append(loss.detach())
        self.right.append(((guess == targets) | (targets == -100)).all(1).float().mean())

    def flush(self, curve: Curve, step: int, seconds: float) -> None:
        curve.steps.append(step)
        curve.seconds.append(round(seconds, 2))
        curve.loss.append(round(torch.stack(self.loss).mean().item(), 5))
        curve.accuracy.append(round(torch.stack(self.right).mean().item(), 4))
        self.__init__()


def _groups(model: nn.Module, schedule: Schedule) -> list[dict]:
    groups: dict[tuple[float, float], dict] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            rate = schedule.rates(name)
            decay = schedule.weight_decay if parameter.ndim >= 2 else 0.0
            group = groups.setdefault((rate, decay), {"params": [], "lr": rate, "peak": rate, "weight_decay": decay})
            group["params"].append(parameter)
    return list(groups.values())


def _steps(schedule: Schedule, start: float) -> Iterator[int]:
    for step in range(schedule.steps):
        if time.monotonic() - start > schedule.seconds:
            return
        yield step


def _cosine(done: float) -> float:
    return max(0.01, 0.5 * (1 + math.cos(math.pi * min(1.0, done))))
