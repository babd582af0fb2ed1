"""minilm: a small sentence encoder, as up to 128 token vectors of 384 numbers.

The tokens ``[CLS]`` and ``[SEP]`` are included; the mean of all rows is the sentence's
vector. Source: Wang et al., "MiniLM: Deep Self-Attention Distillation for Task-Agnostic
Compression of Pre-Trained Transformers", 2020, trained on pairs of sentences by the
authors of sentence-transformers (``all-MiniLM-L6-v2``, Apache-2.0).
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
    from transformers import BertModel


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Load the model from its config, ``model.safetensors`` and ``tokenizer.json``.

    Raises
    ------
    UsageError
        If a file is not the pinned one.
    """
    model = assemble_from_config(files, "MiniLM", assemble_minilm)
    # Without the pooler.
    parts = ("embeddings.", "encoder.")
    files.fill(model, select_tensors(files.tensors(), "bert.", parts))
    prepare = make_tokenizer(
        files,
        "MiniLM",
        longest=MAX_TOKENS,
        vocabulary_size=model.config.vocab_size,
    )
    return Encoder.from_spec(
        spec,
        module=LastHiddenState(model),
        prepare=prepare,
        pieces=prepare.pieces,
        digest=files.digest,
        device=device,
    )


def assemble_minilm(config: dict[str, Any]) -> BertModel:
    """Build a BERT with random weights, without a pooler."""
    from transformers import BertConfig, BertModel

    bert_config = BertConfig.from_dict(config)
    bert_config._attn_implementation = "sdpa"
    return BertModel(bert_config, add_pooling_layer=False)
