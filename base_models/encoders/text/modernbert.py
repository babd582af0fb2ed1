"""ModernBERT: a prompt as up to 128 contextual token vectors of 768 numbers.

The tokens ``[CLS]`` and ``[SEP]`` are included. Source: Warner et al., "Smarter,
Better, Faster, Longer", 2024; the weights of ``ModernBERT-base`` are Apache-2.0. It is
the text encoder of one of WhisQ's ablations.
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
    from transformers import ModernBertModel


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load ModernBERT from its config, ``model.safetensors`` and ``tokenizer.json``.

    Raises
    ------
    UsageError
        If the config is not ModernBERT's, or the tensors or the tokenizer do not fit
        it.
    """
    model = assemble_from_config(files, "ModernBERT", assemble_modernbert)
    config = model.config

    # Without the masked-language head.
    parts = ("embeddings.", "layers.", "final_norm.")
    files.fill(model, select_tensors(files.tensors(), "model.", parts))

    prepare = make_tokenizer(
        files,
        "ModernBERT",
        longest=min(MAX_TOKENS, config.max_position_embeddings),
        vocabulary_size=config.vocab_size,
        ends=(config.cls_token_id, config.sep_token_id),
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


def assemble_modernbert(config: dict[str, Any]) -> ModernBertModel:
    """Build ModernBERT with random weights, without its head."""
    from transformers import ModernBertConfig, ModernBertModel

    if config.get("model_type") != "modernbert":
        raise ValueError(
            f"model_type is {config.get('model_type')!r}, not 'modernbert'"
        )
    bert_config = ModernBertConfig.from_dict(config)
    # Its other kinds of attention compile themselves and remove padding where they
    # can, which changes the last bits.
    bert_config._attn_implementation = "eager"
    return ModernBertModel(bert_config)
