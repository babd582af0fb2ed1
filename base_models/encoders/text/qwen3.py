"""Qwen3: a prompt as up to 128 token vectors of 1024 numbers, the last hidden state after the final norm.

Source: Qwen team, 2025; the weights of ``Qwen3-0.6B`` are Apache-2.0; WhisQ's text encoder (no chat template, no
instruction). The trap: attention is causal, so a token never sees those after it: the first vectors say little of the
prompt, and padding on the left would shift every position.
"""

from __future__ import annotations

from base_models.encoders.base import Encoder, assembled
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.text.transformer import (
    MAX_TOKENS,
    LastHiddenState,
    below,
    make_tokenizer,
)
from base_models.encoders.weights import WeightFiles


def build(spec: EncoderSpec, files: WeightFiles, device: str) -> Encoder:
    """Qwen3 from ``config.json``, ``model.safetensors`` (bfloat16, run in float32) and ``tokenizer.json``.

    Raises
    ------
    UsageError
        when the config is not Qwen3's, or the tensors or the tokenizer do not fit it.
    """
    model = assembled(files, "Qwen3", assemble_qwen3)
    files.fill(
        model, below(files.tensors(), "model.", ("embed_tokens.", "layers.", "norm."))
    )
    longest = min(MAX_TOKENS, model.config.max_position_embeddings)
    prepare = make_tokenizer(files, "Qwen3", longest, model.config.vocab_size)
    facts = vars(spec) | {
        "dim": model.config.hidden_size,
        "digest": files.digest,
        "device": device,
    }
    return Encoder(
        **facts, module=LastHiddenState(model), prepare=prepare, pieces=prepare.pieces
    )


def assemble_qwen3(config: dict):
    """Qwen3 with random float32 weights, without its language head."""
    from transformers import Qwen3Config, Qwen3Model

    if config.get("model_type") != "qwen3":
        raise ValueError(f"model_type is {config.get('model_type')!r}, not 'qwen3'")
    config = Qwen3Config.from_dict(config)
    config._attn_implementation = "eager"
    config.use_cache = False  # nothing is kept between calls
    return Qwen3Model(config)
