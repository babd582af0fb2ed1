"""What text encoders share: from prompts to token ids, and on to hidden states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from base_models.clip_status import NO_PROMPT
from base_models.encoders.base import Piece, check_prompt, warn_of_cut
from base_models.encoders.weights import WeightFiles
from base_models.errors import ClipError, DamagedArtifact, UsageError, machine_fault

if TYPE_CHECKING:
    from transformers import (
        ClapTextConfig,
        PreTrainedTokenizerFast,
        RobertaConfig,
        XLMRobertaConfig,
    )

MAX_TOKENS = 128


class LastHiddenState(nn.Module):
    """The last hidden state of a transformer.

    Shape
    -----
    input (B, L) token ids; output (B, L, dim)
    """

    def __init__(self, transformer: nn.Module) -> None:
        super().__init__()
        self.transformer = transformer

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        # A batch holds prompts of one number of tokens. Padding tokens would attend to
        # the prompt and carry its content into whatever pools the batch.
        mask = torch.ones_like(ids)
        return self.transformer(ids, attention_mask=mask).last_hidden_state


class PromptTokens:
    """Maps a prompt to its token ids (L,), int64, of which there are at most `longest`.

    A longer prompt is cut at its end, which is logged.

    Parameters
    ----------
    tokenizer : transformers.PreTrainedTokenizerFast
    longest : int
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, longest: int) -> None:
        self.tokenizer = tokenizer
        self.longest = longest

    def __call__(self, prompt: str) -> np.ndarray:
        check_prompt(prompt)
        try:
            encoding = self.tokenizer(prompt, truncation=True, max_length=self.longest)
        # The tokenizer is written in Rust and refuses a lone surrogate in either way.
        except (UnicodeEncodeError, TypeError) as error:
            raise ClipError(f"its prompt is not valid text ({error})") from error

        ids = encoding["input_ids"]
        if len(ids) == self.longest:
            # Only a prompt that reaches the limit is read again, to see if it goes on.
            all_ids = self.tokenizer(prompt)["input_ids"]
            if len(all_ids) > self.longest:
                warn_of_cut(prompt, self.longest, "tokens")
        if not ids:
            raise ClipError("no token in its prompt", status=NO_PROMPT)
        return np.array(ids, dtype=np.int64)

    def pieces(self, prompt: str) -> list[Piece]:
        """Text and place of each token; a special token has its name and no place."""
        encoding = self.tokenizer(
            prompt,
            truncation=True,
            max_length=self.longest,
            return_offsets_mapping=True,
        )
        token_names = self.tokenizer.convert_ids_to_tokens(encoding["input_ids"])
        spans = encoding["offset_mapping"]

        pieces = []
        for token_name, (start, end) in zip(token_names, spans, strict=True):
            text = prompt[start:end].strip() or token_name
            pieces.append(Piece(text, start, end))
        return pieces


def make_tokenizer(
    files: WeightFiles,
    architecture: str,
    *,
    longest: int,
    vocabulary_size: int,
    ends: Sequence[int | list[int] | None] = (),
    name: str = "tokenizer.json",
) -> PromptTokens:
    """Read a model's tokenizer, and check that it is that model's.

    Parameters
    ----------
    files : WeightFiles
    architecture : str
        Name of the architecture, for the error message.
    longest : int
        Number of tokens that are read of a prompt.
    vocabulary_size : int
        Number of token ids that the model knows.
    ends : sequence of int
        Ids of the first and last token of every prompt, as its config states them, for
        a model that has such tokens.
    name : str
        File name of the tokenizer.

    Raises
    ------
    DamagedArtifact
        If the file cannot be parsed.
    UsageError
        If the tokenizer is another model's.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    path = files.paths[name]
    try:
        parsed = Tokenizer.from_str(files.contents[name].decode())
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=parsed)
    except (KeyboardInterrupt, SystemExit):
        raise
    # The reader is written in Rust and may panic; a panic is not an Exception.
    except BaseException as error:
        raise machine_fault(error, path) or DamagedArtifact(
            f"{path} is not a readable tokenizer ({error})."
        ) from error

    # A foreign tokenizer would run without an error and give meaningless ids.
    prepare = PromptTokens(tokenizer, longest)
    ids = prepare("music")
    wrong_ends = bool(ends) and [ids[0], ids[-1]] != list(ends)
    if wrong_ends or len(tokenizer) > vocabulary_size:
        raise UsageError(
            f"{path} does not belong to this {architecture}: its first and last token "
            "or its vocabulary size differ from the config's."
        )
    return prepare


def make_roberta_tokenizer(
    files: WeightFiles,
    architecture: str,
    config: RobertaConfig | XLMRobertaConfig | ClapTextConfig,
    *,
    longest: int,
    name: str = "tokenizer.json",
) -> PromptTokens:
    """Read the tokenizer of a RoBERTa; the parameters are those of `make_tokenizer`.

    Raises
    ------
    DamagedArtifact
        If the file cannot be parsed.
    UsageError
        If the tokenizer is another model's.
    """
    if config.pad_token_id is None:
        raise UsageError(
            f"The config of this {architecture} states no pad_token_id, from which its "
            "positions count; take the config that came with the weights."
        )

    # Positions count from the padding id, so two of 514 position vectors are unused.
    positions = config.max_position_embeddings - config.pad_token_id - 1
    return make_tokenizer(
        files,
        architecture,
        longest=min(longest, positions),
        vocabulary_size=config.vocab_size,
        ends=(config.bos_token_id, config.eos_token_id),
        name=name,
    )
