"""Trains the base, then its adapters: `python -m models.demo.train OUT [--stage base|adapters] [--resume]`.

Writes to OUT: tokenizer/, base/, adapter-NAME/ and results.json. `--resume` trains the base in OUT further. Seeded;
meant for one GPU. `--scale` below one shortens everything for a dry run on a CPU.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path

import peft
import torch
import transformers
from peft import get_peft_model
from transformers import AutoTokenizer, SmolVLMForConditionalGeneration

from .dataset import PoolSpec, build_pool
from .evaluation import GainReplacedByOne, TestSet, encoders, evaluate
from .model import ADAPTERS, build_model
from .questions import Task
from .tokenizer import build_tokenizer, prompt_prefix
from .training import AnswerModel, PoolOnDevice, Schedule, train

SEED = 20261124
TEST_SIZE = 600
TASKS: tuple[Task, ...] = ("plain", "reading", "counting")
BASE_POOL = PoolSpec("train", {"simple": 100_000, "crowd": 125_000, "number": 125_000, "bars": 30_000}, "plain")
REPLAY_POOL = PoolSpec("train", {"simple": 10_000, "crowd": 12_000, "number": 12_000, "bars": 3_000}, "plain")
"""Plain questions mixed into an adapter's training, one in five, so that it keeps what the base knows."""
ADAPTER_POOLS: dict[str, PoolSpec] = {
    "reading": PoolSpec("train", {"number": 125_000}, "reading"),
    "counting": PoolSpec("train", {"crowd": 125_000, "bars": 5_000}, "counting"),
}


def main() -> None:
    """Runs the stages asked for and writes the results after each."""
    run = Run(_options())
    if run.options.stage in ("all", "base"):
        run.train_base()
    if run.options.stage in ("all", "adapters"):
        run.train_adapters()


class Run:
    """One invocation: options, device, tokenizer, test sets and the results so far."""

    def __init__(self, options: argparse.Namespace) -> None:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        self.options = options
        self.out: Path = options.out
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.phase = "base"
        if options.resume or options.stage == "adapters":
            self.tokenizer = AutoTokenizer.from_pretrained(self.out / "tokenizer")
            self.results = json.loads((self.out / "results.json").read_text())
            self.phase = f"base, run {1 + sum(name.startswith('base') for name in self.results['curves'])}"
        else:
            self.tokenizer = build_tokenizer()
            self.tokenizer.save_pretrained(self.out / "tokenizer")
            self.results = {
                "machine": self._machine(),
                "seed": SEED,
                "seconds": {},
                "curves": {},
                "accuracy": {},
                "gains": {},
                "commands": [],
            }
        self.results["commands"].append(" ".join(["python -m models.demo.train", *sys.argv[1:]]))
        with self._timed("drawing the test sets"):
            count = max(10, int(TEST_SIZE * min(1, options.scale * 10)))
            self.tests = [TestSet.make(task, count) for task in TASKS]

    def train_base(self) -> None:
        """Trains the base on the plain questions, from scratch or from where the last run ended."""
        pool = self._pool("base", BASE_POOL)
        fresh = not self.options.resume
        model = build_model(self.tokenizer, SEED) if fresh else self._saved_base()
        answers = self._answers(model)
        schedule = self._schedule(self.options.base_seconds, pictures=512, questions=4, warmup=300)
        schedule = replace(schedule, weight_decay=0.05, rates=lambda _: self.options.rate)
        seed = SEED + len(self.results["curves"])
        with self._timed(f"training the {self.phase}"):
            self.results["curves"][self.phase] = asdict(train(answers, [(pool, 1.0)], schedule, seed, "base"))
        answers.model.save_pretrained(self.out / "base", max_shard_size="15MB")
        self._evaluate("base", answers, TASKS)

    def train_adapters(self) -> None:
        """Trains each adapter on the frozen base and evaluates it, also with its gains replaced by one."""
        replay = self._pool("replay", REPLAY_POOL)
        for name, config in ADAPTERS.items():
            pool = self._pool(name, ADAPTER_POOLS[name])
            torch.manual_seed(SEED)
            wrapped = get_peft_model(self._saved_base(), config)
            answers = self._answers(wrapped.get_base_model())
            schedule = self._schedule(self.options.adapter_seconds, pictures=512, questions=2, warmup=100)
            with self._timed(f"training {name}"):
                curve = train(answers, [(pool, 0.8), (replay, 0.2)], schedule, SEED + 1, name)
            self.results["curves"][name] = asdict(curve)
            wrapped.save_pretrained(self.out / f"adapter-{name}")
            ablation = GainReplacedByOne(answers.model, "default")
            deciles = ablation.gains().quantile(torch.linspace(0, 1, 11, device=self.device))
            self.results["gains"][name] = [round(v, 4) for v in deciles.tolist()]
            self._evaluate(name, answers, ("plain", name))
            with ablation:
                self._evaluate(f"{name}, g = 1", answers, ("plain", name))

    def _schedule(self, seconds: float, pictures: int, questions: int, warmup: int) -> Schedule:
        scale = self.options.scale
        return Schedule(
            steps=max(3, int(100_000 * scale)),
            seconds=seconds,
            pictures=max(4, int(pictures * min(1, scale * 4))),
            questions=questions,
            warmup=max(1, int(warmup * min(1, scale * 10))),
            weight_decay=0.0,
            rates=lambda n: self.options.magnitude_rate if "magnitude" in n else self.options.adapter_rate,
            compiled=self.options.compiled,
        )

    def _answers(self, model: SmolVLMForConditionalGeneration) -> AnswerModel:
        image_token = self.tokenizer.convert_tokens_to_ids("<image>")
        return AnswerModel(model, prompt_prefix(self.tokenizer), image_token).to(self.device)

    def _saved_base(self) -> SmolVLMForConditionalGeneration:
        return SmolVLMForConditionalGeneration.from_pretrained(self.out / "base", dtype=torch.float32)

    def _pool(self, name: str, spec: PoolSpec) -> PoolOnDevice:
        share = min(1.0, self.options.scale) * self.options.pools
        scaled = replace(spec, scenes={k: max(40, int(v * share)) for k, v in spec.scenes.items()})
        with self._timed(f"drawing the {name} pool"):
            return PoolOnDevice(build_pool(scaled, *encoders(self.tokenizer), self.options.scratch), self.device)

    def _evaluate(self, name: str, answers: AnswerModel, tasks: tuple[str, ...]) -> None:
        asked = [test for test in self.tests if test.task in tasks]
        scores = {test.task: evaluate(answers, self.tokenizer, test) for test in asked}
        self.results["accuracy"][name] = scores
        print(name, {task: round(s["share"], 4) for task, s in scores.items()}, flush=True)
        (self.out / "results.json").write_text(json.dumps(self.results, indent=1))

    @contextmanager
    def _timed(self, what: str) -> Iterator[None]:
        begun = time.monotonic()
        yield
        self.results["seconds"][what] = round(time.monotonic() - begun, 1)

    def _machine(self) -> dict[str, str]:
        cuda = self.device.type == "cuda"
        return {
            "device": torch.cuda.get_device_name() if cuda else platform.machine(),
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
            "peft": peft.__version__,
        }


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--stage", choices=("all", "base", "adapters"), default="all")
    parser.add_argument("--scratch", type=Path, default=Path("/tmp/ort-dora-demo"), help="for drawn pictures")
    parser.add_argument("--scale", type=float, default=1.0, help="share of the steps, pictures and questions")
    parser.add_argument("--base-seconds", type=float, default=440)
    parser.add_argument("--adapter-seconds", type=float, default=150)
    parser.add_argument("--resume", action="store_true", help="start from OUT/base instead of from scratch")
    parser.add_argument("--pools", type=float, default=1.0, help="share of the pictures drawn for training")
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--adapter-rate", type=float, default=1.5e-3)
    parser.add_argument("--magnitude-rate", type=float, default=8e-3)
    parser.add_argument("--compiled", action="store_true", help="torch.compile the training forward")
    return parser.parse_args()


if __name__ == "__main__":
    main()
