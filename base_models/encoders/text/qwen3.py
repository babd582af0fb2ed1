"""Qwen3: a prompt as up to 128 token vectors of 1024 numbers, after the final norm.

Source: Qwen team, "Qwen3 Technical Report", 2025; the weights of ``Qwen3-0.6B`` are
Apache-2.0. It is WhisQ's text encoder, used without chat template and instruction.

Attention is causal: a token never sees those after it, so the first vectors say little
about the prompt.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from base_models.encoders.base import Encoder, assemble_from_config
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.text.transformer import (
    MAX_TOKENS,
    LastHiddenState,
    make_tokenizer,
)
from base_models.encoders.weights import WeightFiles, select_tensors

if TYPE_CHECKING:
    from transformers import Qwen3Model


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load Qwen3 from its config, ``model.safetensors`` and ``tokenizer.json``.

    Raises
    ------
    UsageError
        If the config is not Qwen3's, or the tensors or the tokenizer do not fit it.
    """
    model = assemble_from_config(files, "Qwen3", assemble_qwen3)
    config = model.config

    # Without the language head. The file is bfloat16, the model runs in float32.
    parts = ("embed_tokens.", "layers.", "norm.")
    files.fill(model, select_tensors(files.tensors(), "model.", parts))

    # No `ends`: Qwen3 puts no special tokens around a prompt.
    prepare = make_tokenizer(
        files,
        "Qwen3",
        longest=min(MAX_TOKENS, config.max_position_embeddings),
        vocabulary_size=config.vocab_size,
    )
    return Encoder.from_spec(
        spec,
        module=LastHiddenState(model),
        prepare=prepare,
        pieces=prepare.pieces,
        dim=config.hidden_size,
        digest=files.digest,
        device=device,
    )


def assemble_qwen3(config: dict[str, Any]) -> Qwen3Model:
    """Build Qwen3 with random float32 weights, without its language head."""
    from transformers import Qwen3Config, Qwen3Model

    if config.get("model_type") != "qwen3":
        raise ValueError(f"model_type is {config.get('model_type')!r}, not 'qwen3'")
    qwen_config = Qwen3Config.from_dict(config)
    qwen_config._attn_implementation = "sdpa"
    # The cache serves generation; here every prompt is read once.
    qwen_config.use_cache = False
    return Qwen3Model(qwen_config)
