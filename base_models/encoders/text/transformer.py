"""What the text encoders share: prompts to token ids, token ids to the hidden states of a transformer.

The trap: padding tokens attend to the prompt and carry its content, so a padded batch leaks into whatever pools it;
here prompts are only batched with prompts of as many tokens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from base_models.encoders.base import Piece, check_prompt, say_cut
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
        return self.transformer(
            ids, attention_mask=torch.ones_like(ids)
        ).last_hidden_state


def below(
    tensors: Mapping[str, torch.Tensor], prefix: str, wanted: Sequence[str] = ("",)
) -> dict[str, torch.Tensor]:
    """The tensors named ``prefix + wanted…``, without the prefix, and without position ids, which are not weights.

    A checkpoint of the bare transformer has no prefix: then all names are taken as they are.
    """
    prefix = prefix if any(name.startswith(prefix) for name in tensors) else ""
    bare = {
        name.removeprefix(prefix): t
        for name, t in tensors.items()
        if name.startswith(prefix)
    }
    ids = ("position_ids", "token_type_ids")
    return {
        name: t
        for name, t in bare.items()
        if name.startswith(tuple(wanted)) and not name.endswith(ids)
    }


class PromptTokens:
    """From a prompt to its token ids (L,), int64, L ≤ `longest`; a longer prompt is cut at its end, and the log
    says so.

    Parameters
    ----------
    tokenizer : of transformers, fast
    longest : int
    """

    def __init__(self, tokenizer: Any, longest: int):
        self.tokenizer, self.longest = tokenizer, longest

    def __call__(self, prompt: str) -> np.ndarray:
        try:
            ids = self.tokenizer(
                check_prompt(prompt), truncation=True, max_length=self.longest
            )["input_ids"]
        except (UnicodeEncodeError, TypeError) as error:
            raise ClipError(f"its prompt is not valid text ({error})") from error
        if len(ids) == self.longest < len(self.tokenizer(prompt)["input_ids"]):
            say_cut(prompt, self.longest, "tokens")
        if not ids:
            raise ClipError("no token in its prompt")
        return np.array(ids, dtype=np.int64)

    def pieces(self, prompt: str) -> list[Piece]:
        """The text of each token and where in the prompt it stands; a special token has its name, and no place."""
        options = {
            "truncation": True,
            "max_length": self.longest,
            "return_offsets_mapping": True,
        }
        found = self.tokenizer(prompt, **options)
        names = self.tokenizer.convert_ids_to_tokens(found["input_ids"])
        spans = found["offset_mapping"]
        return [
            Piece(prompt[a:b].strip() or name, a, b)
            for name, (a, b) in zip(names, spans, strict=True)
        ]


def make_tokenizer(
    files: WeightFiles,
    what: str,
    longest: int,
    vocabulary: int,
    ends: Sequence[int] = (),
    name: str = "tokenizer.json",
) -> PromptTokens:
    """The `PromptTokens` of a model's tokenizer, which must be that model's.

    Parameters
    ----------
    what : the architecture, for the message
    vocabulary : int, ids that the model knows
    ends : ids of the first and last token of every prompt, where the model has such

    Raises
    ------
    DamagedArtifact
        when the file is no tokenizer.
    UsageError
        when it is another model's.
    """
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    path = files.paths[name]
    try:
        parsed = Tokenizer.from_str(files.contents[name].decode())
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=parsed)
    except (KeyboardInterrupt, SystemExit):
        raise
    except (
        BaseException
    ) as error:  # the Rust reader may panic, and a panic is not an Exception
        raise DamagedArtifact(
            f"{path} is not a readable tokenizer ({error})."
        ) from error

    prepare = PromptTokens(tokenizer, longest)
    ids = prepare("music")
    if (ends and [ids[0], ids[-1]] != list(ends)) or len(tokenizer) > vocabulary:
        raise UsageError(
            f"{path} does not belong to this {what}: its first and last token or its vocabulary size differ from the "
            "config's."
        )
    return prepare
