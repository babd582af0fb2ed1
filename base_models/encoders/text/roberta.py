"""RoBERTa: a prompt as up to 128 contextual token vectors of 768 numbers, ``<s>`` and ``</s>`` included.

Source: Liu et al., 2019; the weights of ``roberta-base`` are MIT. The trap: its positions count from the padding id,
so of 514 position vectors only 512 are for tokens.
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
    """RoBERTa from ``config.json``, ``model.safetensors`` and ``tokenizer.json``.

    Raises
    ------
    UsageError
        when the config is not RoBERTa's, or the tensors or the tokenizer do not fit it.
    """
    model = assembled(files, "RoBERTa", assemble_roberta)
    # without the language model's head and pooler
    files.fill(model, below(files.tensors(), "roberta.", ("embeddings.", "encoder.")))
    config = model.config
    longest = min(MAX_TOKENS, config.max_position_embeddings - config.pad_token_id - 1)
    ends = (config.bos_token_id, config.eos_token_id)
    prepare = make_tokenizer(files, "RoBERTa", longest, config.vocab_size, ends)
    facts = vars(spec) | {
        "dim": config.hidden_size,
        "digest": files.digest,
        "device": device,
    }
    return Encoder(
        **facts, module=LastHiddenState(model), prepare=prepare, pieces=prepare.pieces
    )


def assemble_roberta(config: dict):
    """RoBERTa with random weights, without a pooler."""
    from transformers import RobertaConfig, RobertaModel

    config = RobertaConfig.from_dict(config)
    config._attn_implementation = "eager"
    return RobertaModel(config, add_pooling_layer=False)
