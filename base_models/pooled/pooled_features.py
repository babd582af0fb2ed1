"""Clips as vectors: statistics of their frames and tokens, in blocks.

The blocks of an aspect are what it can be explained by: the audio, the prompt, and what
both say together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from base_models.networks.batches import EmbeddedClips

AUDIO = "audio"
TEXT = "text"
JOINT = "audio and text"


@dataclass(frozen=True)
class PooledFeatures:
    """Features of n clips for one aspect.

    Parameters
    ----------
    matrix : float64 array of shape (n, columns)
    blocks : dict of str to slice
        Columns of each block, by its name.
    """

    matrix: np.ndarray
    blocks: dict[str, slice]


def pooled_features(
    clips: EmbeddedClips, statistics: str, with_text: bool
) -> PooledFeatures:
    """Pool the embeddings of clips.

    Parameters
    ----------
    clips : EmbeddedClips
    statistics : str
        One of `base_models.pooled_config.STATISTICS`.
    with_text : bool
        Whether the prompt counts. The mean of its tokens is a block then; where audio
        and text embeddings have one width, so are their product, dimension by
        dimension, their distance and their cosine.

    Returns
    -------
    features : PooledFeatures
    """
    audio = _pool(clips.frames, statistics)
    blocks = {AUDIO: audio}
    if with_text:
        if clips.tokens is None:
            raise ValueError("These clips hold no tokens, but their prompts count.")
        text = _pool(clips.tokens, "mean")
        blocks[TEXT] = text
        audio_mean = _pool(clips.frames, "mean")
        if audio_mean.shape[1] == text.shape[1]:
            blocks[JOINT] = _joint(audio_mean, text)

    slices = {}
    start = 0
    for name, block in blocks.items():
        end = start + block.shape[1]
        slices[name] = slice(start, end)
        start = end
    return PooledFeatures(np.concatenate(list(blocks.values()), axis=1), slices)


def _pool(arrays: Sequence[np.ndarray], statistics: str) -> np.ndarray:
    """Pool n arrays (T, D) to (n, D), or (n, 2 D) with standard deviations."""
    rows = []
    for array in arrays:
        # Sums of float16 numbers would overflow.
        values = array.astype(np.float64)
        pooled = [values.mean(axis=0)]
        if statistics == "mean_std":
            pooled.append(values.std(axis=0))
        rows.append(np.concatenate(pooled))
    return np.stack(rows)


def _joint(audio: np.ndarray, text: np.ndarray) -> np.ndarray:
    """What two vectors (n, D) have in common: shape (n, 2 D + 1)."""
    lengths = np.linalg.norm(audio, axis=1) * np.linalg.norm(text, axis=1)
    # A vector of zeros has no direction.
    cosine = (audio * text).sum(axis=1) / np.where(lengths > 0, lengths, 1)
    return np.concatenate([audio * text, np.abs(audio - text), cosine[:, None]], axis=1)
