"""Clips as embeddings, and the padded batches made of them.

Embeddings keep their true lengths; only a batch is padded, and its masks say where.
What is computed for a clip must not depend on the other clips of its batch, so nothing
outside the masks may be read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from base_models.networks.standardisation import Standardisation


@dataclass(frozen=True)
class Batch:
    """Padded embeddings of B clips; masks are True at real frames and tokens.

    Parameters
    ----------
    frames : Tensor of shape (B, T, D)
    frame_mask : bool Tensor of shape (B, T)
    tokens : Tensor of shape (B, T', D'), or None without text
    token_mask : bool Tensor of shape (B, T'), or None without text
    """

    frames: Tensor
    frame_mask: Tensor
    tokens: Tensor | None = None
    token_mask: Tensor | None = None

    def text(self) -> tuple[Tensor, Tensor]:
        """Return the tokens and their mask.

        Raises
        ------
        ValueError
            when the batch holds no text.
        """
        if self.tokens is None or self.token_mask is None:
            raise ValueError(
                "This batch holds no tokens, but the network has an aspect that is "
                "judged against the prompt."
            )
        return self.tokens, self.token_mask

    def to(self, device: torch.device | str) -> Batch:
        """Copy the batch to another device."""
        frames = self.frames.to(device, non_blocking=True)
        frame_mask = self.frame_mask.to(device, non_blocking=True)
        if self.tokens is None or self.token_mask is None:
            return Batch(frames, frame_mask)

        tokens = self.tokens.to(device, non_blocking=True)
        token_mask = self.token_mask.to(device, non_blocking=True)
        return Batch(frames, frame_mask, tokens=tokens, token_mask=token_mask)


@dataclass(frozen=True)
class Labels:
    """Labels of the B clips of a batch.

    Parameters
    ----------
    scores : Tensor of shape (B, aspects)
        Any finite number where a clip is unlabelled.
    weights : Tensor of shape (B, aspects)
        0 where a clip is unlabelled.
    """

    scores: Tensor
    weights: Tensor


@dataclass(frozen=True)
class EmbeddedClips:
    """Embeddings of n clips, in row order, at their true lengths.

    Parameters
    ----------
    frames : sequence of n arrays of shape (T, D)
    tokens : sequence of n arrays of shape (T', D'), or None
        None when no aspect needs text.
    max_frames : int or None
        Frames of a clip that are read, from its start; None reads all. The others stay
        in the batch, outside the mask, so that positions are those of the whole clip.
    frame_scale, token_scale : Standardisation or None
        Of the model that reads the clips; None leaves embeddings as they are.
    """

    frames: Sequence[np.ndarray]
    tokens: Sequence[np.ndarray] | None = None
    max_frames: int | None = None
    frame_scale: Standardisation | None = None
    token_scale: Standardisation | None = None

    def __len__(self) -> int:
        return len(self.frames)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Pad the clips `rows` to the longest of them."""
        chosen = self.take(rows).scaled()
        frames, frame_mask = _pad(chosen.frames)
        if self.max_frames is not None:
            frame_mask[:, self.max_frames :] = False
        if chosen.tokens is None:
            return Batch(frames, frame_mask)

        tokens, token_mask = _pad(chosen.tokens)
        return Batch(
            frames,
            frame_mask,
            tokens=tokens,
            token_mask=token_mask,
        )

    def scaled(self) -> EmbeddedClips:
        """The same clips, their arrays as the model of the scales reads them."""
        tokens = None
        if self.tokens is not None:
            tokens = _scaled(self.tokens, self.token_scale)
        return replace(
            self,
            frames=_scaled(self.frames, self.frame_scale),
            tokens=tokens,
            frame_scale=None,
            token_scale=None,
        )

    def take(self, rows: Sequence[int]) -> EmbeddedClips:
        """Return the clips `rows`, in that order."""
        frames = [self.frames[row] for row in rows]
        tokens = None
        if self.tokens is not None:
            tokens = [self.tokens[row] for row in rows]
        return replace(self, frames=frames, tokens=tokens)

    def by_length(self, size: int) -> Iterator[list[int]]:
        """Yield every row once, in batches of `size`, from the longest clip down.

        Clips of similar length share a batch, so that little is padded.
        """

        def length(row: int) -> int:
            return len(self.frames[row])

        # Sorting is stable: clips of equal length stay in row order.
        all_rows = range(len(self))
        order = sorted(all_rows, key=length, reverse=True)
        for start in range(0, len(order), size):
            yield order[start : start + size]


def _scaled(
    arrays: Sequence[np.ndarray], scale: Standardisation | None
) -> Sequence[np.ndarray]:
    return arrays if scale is None else [scale.apply(array) for array in arrays]


def _pad(arrays: Sequence[np.ndarray]) -> tuple[Tensor, Tensor]:
    """Pad arrays with zeros on the right and return them with their mask.

    Shape: B arrays (T, D) → (B, max T, D) float32, (B, max T) bool
    """
    length_of_array = [len(array) for array in arrays]
    lengths = torch.tensor(length_of_array)
    longest = max(length_of_array)
    dim = arrays[0].shape[1]

    padded = torch.zeros(len(arrays), longest, dim)
    for row, array in zip(padded, arrays, strict=True):
        # Stored embeddings are read-only, which `torch.from_numpy` warns about, so
        # they are copied.
        row[: len(array)] = torch.tensor(array)

    # True where an array has a row: (max T,) places beside (B, 1) lengths.
    places = torch.arange(longest)
    mask = places < lengths[:, None]
    return padded, mask


def shuffled_batches(
    rows: Sequence[int],
    size: int,
    seed: int,
) -> Iterator[list[int]]:
    """Yield `rows` in a seeded random order, in batches of `size`.

    The last batch may be smaller. Torch's global generator is neither read nor moved.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(rows), generator=generator)
    shuffled = [rows[place] for place in order.tolist()]
    for start in range(0, len(shuffled), size):
        yield shuffled[start : start + size]
