"""The demo's tokenizer: byte-level BPE, trained on generated questions, small enough to be read.

Digits are always single tokens, so that a number is read digit by digit.
"""

from __future__ import annotations

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from .questions import ask_all
from .scenes import bar_chart, crowd, number_display, simple_shapes

VOCABULARY = 384
IMAGE_TOKENS = 64
SPECIAL_TOKENS = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<end_of_utterance>",
    "<fake_token_around_image>",
    "<global-img>",
    "<image>",
)
CHAT_TEMPLATE = (
    "<|im_start|>{% for message in messages %}{{ message['role'] | capitalize + ':' }}"
    "{% if message['content'] is string %}{{ '\n' + message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}{{ '<image>' }}{% endif %}{% endfor %}"
    "{{ '\n' }}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}{{ '<end_of_utterance>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant:\n' }}{% endif %}"
)
"""Pictures first, then the text, each turn on its own line; newlines are written as expressions since Jinja trims
those after a block."""


def build_tokenizer(corpus_scenes: int = 2000) -> PreTrainedTokenizerFast:
    """Trains the tokenizer on the questions and answers of `corpus_scenes` scenes of each family."""
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    bpe.decoder = decoders.ByteLevel()
    bpe.train_from_iterator(
        _corpus(corpus_scenes),
        trainers.BpeTrainer(
            vocab_size=VOCABULARY,
            special_tokens=list(SPECIAL_TOKENS),
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        bos_token="<|im_start|>",
        eos_token="<end_of_utterance>",
        pad_token="<|im_end|>",
        unk_token="<|endoftext|>",
        additional_special_tokens=["<fake_token_around_image>", "<global-img>", "<image>"],
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=1024,
        chat_template=CHAT_TEMPLATE,
    )


def prompt_prefix(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    """Token ids of everything before the question: the opening and one picture, as Idefics3Processor writes it."""
    image = "<fake_token_around_image><global-img>" + "<image>" * IMAGE_TOKENS + "<fake_token_around_image>"
    return tokenizer(f"<|im_start|>User:{image}\n", add_special_tokens=False)["input_ids"]


def question_ids(tokenizer: PreTrainedTokenizerFast, question: str) -> list[int]:
    """Token ids from the question to the start of the answer."""
    return tokenizer(f"{question}<end_of_utterance>\nAssistant:\n", add_special_tokens=False)["input_ids"]


def answer_ids(tokenizer: PreTrainedTokenizerFast, answer: str) -> list[int]:
    """Token ids of the answer and the end of the turn."""
    return tokenizer(f"{answer}<end_of_utterance>", add_special_tokens=False)["input_ids"]


def _corpus(scenes: int) -> list[str]:
    lines = ["User:", "Assistant:\n"] * 5000
    for family in (simple_shapes, crowd, number_display, bar_chart):
        for i in range(scenes):
            rng = np.random.default_rng([3, i])
            lines += [text for q in ask_all(rng, family(rng)) for text in (q.text, q.answer)]
    return lines
