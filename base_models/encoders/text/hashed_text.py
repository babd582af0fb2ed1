"""hashed_text: an embedded text encoder without weights: a word is a sum of fixed random signs, one set per piece.

The pieces are the word itself and its character 3-, 4- and 5-grams, so "drum", "drums" and "drumming" are alike (the
idea of Bojanowski et al., "Enriching Word Vectors with Subword Information", 2017, with hashes for learned vectors).
The trap: Python's own `hash` of a string differs from process to process; BLAKE2 does not, and its 128 bits are the
128 signs.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata

import numpy as np
from torch import nn

from base_models.encoders.base import Encoder, Piece, check_prompt, say_cut
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles
from base_models.errors import ClipError

MAX_TOKENS = 128
LONGEST = 64
"""Characters of a word that count."""


def build(spec: EncoderSpec, files: WeightFiles, device: str) -> Encoder:
    """The encoder; `files` is empty. All work is in `prepare`."""
    return Encoder(
        **vars(spec),
        module=nn.Identity(),
        prepare=word_vectors,
        pieces=pieces,
        device=device,
    )


def word_vectors(prompt: str) -> np.ndarray:
    """Vectors of the words of `prompt`: float32 array of shape (words, 128), each of norm sqrt(128), at most 128 words.

    Raises
    ------
    ClipError
        when there is no prompt, or no word in it.
    """
    words = _words(_folded(check_prompt(prompt)))
    if not words:
        raise ClipError("no word in its prompt")
    if len(words) > MAX_TOKENS:
        say_cut(prompt, MAX_TOKENS, "words")
    return np.stack([_vector(word[0][:LONGEST]) for word in words[:MAX_TOKENS]])


def pieces(prompt: str) -> list[Piece]:
    """The words, and where in the prompt they stand: nowhere, in the rare case that folding changes its length."""
    folded = _folded(prompt)
    same = len(folded) == len(prompt)
    return [
        Piece(word[0], *(word.span() if same else (0, 0)))
        for word in _words(folded)[:MAX_TOKENS]
    ]


def _folded(prompt: str) -> str:
    return unicodedata.normalize("NFKC", prompt).lower()


def _words(folded: str) -> list[re.Match]:
    return list(re.finditer(r"\w+", folded))


@functools.lru_cache(maxsize=16_384)
def _vector(word: str) -> np.ndarray:
    marked = f"<{word}>"  # so that the ends of a word count as letters
    pieces = {marked} | {
        marked[i : i + n] for n in (3, 4, 5) for i in range(len(marked) - n + 1)
    }
    total = sum(_signs(piece) for piece in sorted(pieces))
    return (total * np.sqrt(len(total)) / max(np.linalg.norm(total), 1)).astype(
        np.float32
    )


def _signs(piece: str) -> np.ndarray:
    digest = hashlib.blake2b(
        piece.encode("utf-8", "surrogatepass"), digest_size=16
    ).digest()
    return np.unpackbits(np.frombuffer(digest, dtype=np.uint8)) * 2.0 - 1.0
