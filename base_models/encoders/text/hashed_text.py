"""hashed_text: an embedded text encoder without weights, one vector per word.

A word is the sum of fixed random signs, one set for each of its parts: the word itself
and its character 3-, 4- and 5-grams. So "drum", "drums" and "drumming" are alike.

Source of the idea: Bojanowski et al., "Enriching Word Vectors with Subword
Information", 2017, with hashes in place of learned vectors.
"""

from __future__ import annotations

import functools
import hashlib
import re
import unicodedata

import numpy as np
from torch import nn

from base_models.clip_status import NO_PROMPT
from base_models.encoders.base import Encoder, Piece, check_prompt, warn_of_cut
from base_models.encoders.specs import EncoderSpec
from base_models.encoders.weights import WeightFiles
from base_models.errors import ClipError

MAX_WORDS = 128
MAX_CHARACTERS = 64
"""Number of characters that are read of a word."""
GRAM_SIZES = (3, 4, 5)
DIGEST_BYTES = 16
"""A hash has as many bits as a vector has signs: 128."""


def build(
    spec: EncoderSpec,
    files: WeightFiles,
    device: str,
) -> Encoder:
    """Build the encoder; `files` is empty, and all work is done in `prepare`."""
    return Encoder.from_spec(
        spec,
        module=nn.Identity(),
        prepare=word_vectors,
        pieces=pieces,
        device=device,
    )


def word_vectors(prompt: str) -> np.ndarray:
    """Vectors of the words of a prompt.

    Returns
    -------
    vectors : float32 array of shape (words, 128)
        At most 128 words, each of norm sqrt(128).

    Raises
    ------
    ClipError
        If there is no prompt, or no word in it.
    """
    check_prompt(prompt)
    words = [match.group() for match in _find_words(_fold(prompt))]
    if not words:
        raise ClipError("no word in its prompt", status=NO_PROMPT)
    if len(words) > MAX_WORDS:
        warn_of_cut(prompt, MAX_WORDS, "words")

    vectors = [_word_vector(word[:MAX_CHARACTERS]) for word in words[:MAX_WORDS]]
    return np.stack(vectors)


def pieces(prompt: str) -> list[Piece]:
    """Text and place of each word that `word_vectors` reads."""
    folded = _fold(prompt)
    # In the rare case that folding changes the length of the prompt, such as that of a
    # ligature, places in the folded prompt say nothing about the prompt itself.
    has_places = len(folded) == len(prompt)

    found = []
    for match in _find_words(folded)[:MAX_WORDS]:
        start, end = match.span() if has_places else (0, 0)
        found.append(Piece(match.group(), start, end))
    return found


def _fold(prompt: str) -> str:
    return unicodedata.normalize("NFKC", prompt).lower()


def _find_words(folded: str) -> list[re.Match[str]]:
    return list(re.finditer(r"\w+", folded))


@functools.lru_cache(maxsize=16_384)
def _word_vector(word: str) -> np.ndarray:
    # The marks make the ends of a word count as letters.
    marked = f"<{word}>"
    grams = {marked}
    for size in GRAM_SIZES:
        for start in range(len(marked) - size + 1):
            grams.add(marked[start : start + size])

    total = np.zeros(8 * DIGEST_BYTES)
    for gram in sorted(grams):
        total += _signs(gram)

    # All words get the same norm, the one of a vector of signs.
    norm = max(np.linalg.norm(total), 1)
    vector = total * np.sqrt(len(total)) / norm
    return vector.astype(np.float32)


def _signs(gram: str) -> np.ndarray:
    # Python's own `hash` of a string differs from process to process; BLAKE2 does not.
    data = gram.encode("utf-8", "surrogatepass")
    digest = hashlib.blake2b(data, digest_size=DIGEST_BYTES).digest()
    bits = np.unpackbits(np.frombuffer(digest, dtype=np.uint8))
    return bits * 2.0 - 1.0
