"""RoBERTa: a prompt as up to 128 contextual token vectors of 768 numbers.

The tokens ``<s>`` and ``</s>`` are included. Source: Liu et al., "RoBERTa: A Robustly
Optimized BERT Pretraining Approach", 2019; the weights of ``roberta-base`` are MIT.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from base_models.encoders.base import Encoder, assemble_from_config
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.text.transformer import (
    MAX_TOKENS,
    LastHiddenState,
    make_roberta_tokenizer,
)
from base_models.encoders.weights import WeightFiles, select_tensors

if TYPE_CHECKING:
    from transformers import RobertaModel


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load RoBERTa from ``config.json``, ``model.safetensors`` and ``tokenizer.json``.

    Raises
    ------
    UsageError
        If the config is not RoBERTa's, or the tensors or the tokenizer do not fit it.
    """
    model = assemble_from_config(files, "RoBERTa", assemble_roberta)
    config = model.config

    # Without the pooler and the language model's head.
    parts = ("embeddings.", "encoder.")
    files.fill(model, select_tensors(files.tensors(), "roberta.", parts))

    prepare = make_roberta_tokenizer(files, "RoBERTa", config, longest=MAX_TOKENS)
    return Encoder.from_spec(
        spec,
        module=LastHiddenState(model),
        prepare=prepare,
        pieces=prepare.pieces,
        dim=config.hidden_size,
        digest=files.digest,
        device=device,
    )


def assemble_roberta(config: dict[str, Any]) -> RobertaModel:
    """Build RoBERTa with random weights, without a pooler."""
    from transformers import RobertaConfig, RobertaModel

    roberta_config = RobertaConfig.from_dict(config)
    roberta_config._attn_implementation = "sdpa"
    return RobertaModel(roberta_config, add_pooling_layer=False)
