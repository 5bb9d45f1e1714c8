"""What is measured."""

CONFIG = {
    "vocab_size": 151_936,
    "hidden_size": 4096,
    "intermediate_size": 12_288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "max_position_embeddings": 40_960,
    "tie_word_embeddings": False,
}
"""Qwen3-8B, text."""
RANK = 384
SCALING = 2
STANDARD_DEVIATION = 0.02
"""Of W, A and B: s·B·A is then about as large as W."""
