"""Which stretches of a clip or a prompt the deletion test removes.

One stretch is the most attended, the others are random; all have one length and, as
nearly as possible, as many tokens. The attended one is chosen by weight per token:
chosen by weight alone, it would be the one with most tokens, whatever the attention.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from base_models.encoders.base import Encoder
from base_models.files import sha256

Span = tuple[int, int]
"""Start and end, the end excluded."""

# Special tokens may have all the attention of a prompt, and its words none.
_TINY = 1e-30


class Stretches(NamedTuple):
    """Start and end of the stretches to remove, in frames or words.

    Parameters
    ----------
    runs : list of (int, int)
        The attended stretch first, then the random ones.
    attended : float
        Share of the attention that the attended stretch has.
    even : float
        Share that it would have if all frames or tokens had the same.
    """

    runs: list[Span]
    attended: float
    even: float


@dataclass(frozen=True)
class Removal:
    """How much is removed, and how random stretches are drawn.

    Parameters
    ----------
    share : float
        Of the frames or words, in one stretch; at least one of them.
    draws : int
        Random stretches per clip, or all there are if they are fewer.
    seed : int
        Of the draws.
    """

    share: float
    draws: int
    seed: int

    def stretches(
        self, weights: np.ndarray, tokens: np.ndarray, clip: str
    ) -> Stretches | None:
        """Choose stretches of frames or words.

        Parameters
        ----------
        weights : array of shape (n,)
            Attention on each frame or word.
        tokens : array of shape (n,)
            How many tokens each of them has.
        clip : str
            The same clip has the same draws for every model that looks there.

        Returns
        -------
        stretches : Stretches or None
            None where there are too few frames or words to leave any.
        """
        n = len(weights)
        length = max(1, round(self.share * n))
        if length >= n:
            return None

        # Sums over every stretch of that length.
        window = np.ones(length)
        weights_of_stretch = np.convolve(weights, window, "valid")
        tokens_of_stretch = np.convolve(tokens, window, "valid")
        most = int((weights_of_stretch / tokens_of_stretch).argmax())

        # Random stretches are those whose number of tokens is nearest to that of the
        # attended one: a removal of more tokens moves the score more by itself.
        distance = np.abs(tokens_of_stretch - tokens_of_stretch[most])
        nearest = np.delete(distance, most).min()
        order = self._generator(clip).permutation(len(tokens_of_stretch)).tolist()
        starts = [
            start for start in order if start != most and distance[start] == nearest
        ]
        kept = [most, *starts[: self.draws]]
        return Stretches(
            runs=[(start, start + length) for start in kept],
            attended=weights_of_stretch[most] / max(weights.sum(), _TINY),
            even=tokens_of_stretch[most] / tokens.sum(),
        )

    def _generator(self, clip: str) -> np.random.Generator:
        # Seeded by the clip's id, so that other clips and their order change nothing.
        digest = sha256(clip.encode("utf-8", "surrogatepass"))
        return np.random.default_rng([self.seed, int(digest[:8], 16)])


def word_weights(
    encoder: Encoder, prompt: str, weights: np.ndarray
) -> tuple[list[Span], np.ndarray, np.ndarray]:
    """Sum the attention on tokens to attention on words.

    Parameters
    ----------
    encoder : Encoder
        A text encoder with ``pieces``.
    prompt : str
    weights : array of shape (tokens,)

    Returns
    -------
    words : list of n (int, int)
        Spans of the words that the encoder sees; special tokens belong to no word.
    sums : array of shape (n,)
        Weight of each word, summed over its tokens.
    counts : array of shape (n,)
        Number of its tokens.
    """
    if encoder.pieces is None:
        raise ValueError(f"{encoder.name} does not say where its tokens are.")
    pieces = [
        (piece, weight)
        for piece, weight in zip(encoder.pieces(prompt), weights, strict=True)
        if piece.end > piece.start
    ]

    words = []
    sums = []
    counts = []
    # A word is what stands between spaces and has a letter or digit.
    for word in re.finditer(r"\S*\w\S*", prompt):
        inside = [
            weight
            for piece, weight in pieces
            if piece.start < word.end() and piece.end > word.start()
        ]
        # Beyond the encoder's longest prompt, words have no tokens.
        if inside:
            words.append(word.span())
            sums.append(sum(inside))
            counts.append(len(inside))
    return words, np.array(sums), np.array(counts)


def without_words(prompt: str, words: Sequence[Span], first: int, last: int) -> str:
    """Remove words from a prompt, with the space after them.

    Parameters
    ----------
    prompt : str
    words : sequence of (int, int)
        Spans of its words.
    first, last : int
        Numbers of the first word to remove, and of the first to keep after it.

    Examples
    --------
    >>> without_words("slow piano, soft", [(0, 4), (5, 11), (12, 16)], 1, 2)
    'slow soft'
    """
    start, _ = words[first]
    if last < len(words):
        rest, _ = words[last]
    else:
        _, rest = words[last - 1]
    return (prompt[:start] + prompt[rest:]).strip()
