"""RoBERTa: a prompt as up to 128 contextual token vectors of 768 numbers, ``<s>`` and ``</s>`` included.

Source: Liu et al., 2019; the weights of ``roberta-base`` are MIT. The trap: its padding tokens attend to the prompt
and carry its content, so a padded batch leaks into whatever pools it; here prompts are only batched with prompts of
as many tokens.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from base_models.encoders import EncoderSpec
from base_models.encoders.base import Encoder, check_prompt
from base_models.encoders.weights import WeightFiles
from base_models.errors import ClipError, DamagedArtifact, UsageError

MAX_TOKENS = 128


class LastHiddenState(nn.Module):
    """The last hidden state of a transformer.

    Shape
    -----
    input (B, L) token ids; output (B, L, dim)
    """

    def __init__(self, transformer: nn.Module):
        super().__init__()
        self.transformer = transformer

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.transformer(ids, attention_mask=torch.ones_like(ids)).last_hidden_state


def build(spec: EncoderSpec, files: WeightFiles, device: str) -> Encoder:
    """RoBERTa from ``config.json``, ``model.safetensors`` and ``tokenizer.json``.

    Raises
    ------
    UsageError
        when the config is not RoBERTa's, or the tensors or the tokenizer do not fit it.
    """
    from transformers import RobertaConfig, RobertaModel

    try:
        config = RobertaConfig.from_dict(files.json("config.json"))
        config._attn_implementation = "eager"
        with torch.random.fork_rng(devices=[]):  # random initial weights, replaced at once
            model = RobertaModel(config, add_pooling_layer=False)
    except (TypeError, KeyError, AttributeError, ValueError, RuntimeError) as error:
        path = files.paths["config.json"]
        raise UsageError(f"{path} does not describe a RoBERTa model ({type(error).__name__}: {error}).") from error
    files.fill(model, _needed(files.tensors()))
    facts = vars(spec) | {"dim": config.hidden_size, "digest": files.digest, "device": device}
    return Encoder(**facts, module=LastHiddenState(model), prepare=_tokenizer(files, config))


def _needed(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Without the language model's prefix, head and pooler, and without position ids, which are not weights."""
    bare = {name.removeprefix("roberta."): tensor for name, tensor in tensors.items()}
    return {n: t for n, t in bare.items() if n.startswith(("embeddings.", "encoder.")) and "position_ids" not in n}


def _tokenizer(files: WeightFiles, config):
    """Function from a prompt to its token ids (L,), int64, L ≤ 128."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    path = files.paths["tokenizer.json"]
    try:
        parsed = Tokenizer.from_str(files.contents["tokenizer.json"].decode())
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=parsed)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # the Rust reader may panic, and a panic is not an Exception
        raise DamagedArtifact(f"{path} is not a readable tokenizer ({error}).") from error

    longest = min(MAX_TOKENS, config.max_position_embeddings - config.pad_token_id - 1)

    def prepare(prompt: str) -> np.ndarray:
        try:
            ids = tokenizer(check_prompt(prompt), truncation=True, max_length=longest)["input_ids"]
        except (UnicodeEncodeError, TypeError) as error:
            raise ClipError(f"its prompt is not valid text ({error})") from error
        return np.array(ids, dtype=np.int64)

    ids = prepare("music")
    if [ids[0], ids[-1]] != [config.bos_token_id, config.eos_token_id] or len(tokenizer) > config.vocab_size:
        raise UsageError(
            f"{path} does not belong to this RoBERTa: its <s>, </s> or vocabulary size differ from config.json."
        )
    return prepare
