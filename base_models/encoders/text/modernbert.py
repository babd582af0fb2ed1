"""ModernBERT: a prompt as up to 128 contextual token vectors of 768 numbers, ``[CLS]`` and ``[SEP]`` included.

Source: Warner et al., "Smarter, Better, Faster, Longer", 2024; the weights of ``ModernBERT-base`` are Apache-2.0; the
text side of one of WhisQ's ablations. The trap: its own code compiles itself and unpads batches where it can, which
changes the last bits; plain attention does neither.
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
    """ModernBERT from ``config.json``, ``model.safetensors`` and ``tokenizer.json``.

    Raises
    ------
    UsageError
        when the config is not ModernBERT's, or the tensors or the tokenizer do not fit it.
    """
    model = assembled(files, "ModernBERT", assemble_modernbert)
    files.fill(
        model,
        below(files.tensors(), "model.", ("embeddings.", "layers.", "final_norm.")),
    )
    config = model.config
    longest = min(MAX_TOKENS, config.max_position_embeddings)
    ends = (config.cls_token_id, config.sep_token_id)
    prepare = make_tokenizer(files, "ModernBERT", longest, config.vocab_size, ends)
    facts = vars(spec) | {
        "dim": config.hidden_size,
        "digest": files.digest,
        "device": device,
    }
    return Encoder(
        **facts, module=LastHiddenState(model), prepare=prepare, pieces=prepare.pieces
    )


def assemble_modernbert(config: dict):
    """ModernBERT with random weights, without its head."""
    from transformers import ModernBertConfig, ModernBertModel

    if config.get("model_type") != "modernbert":
        raise ValueError(
            f"model_type is {config.get('model_type')!r}, not 'modernbert'"
        )
    config = ModernBertConfig.from_dict(config)
    config._attn_implementation = "eager"
    return ModernBertModel(config)
