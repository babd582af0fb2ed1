"""Clips as embeddings, and the padded batches made of them.

Embeddings keep their true lengths; only a batch is padded, and its masks say where.
What is computed for a clip must not depend on the other clips of its batch, so nothing
outside the masks may be read.
"""

from __future__ import annotations

import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, overload

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
    frame_terms : Tensor of shape (B,), or None
        `Network.frame_terms` of the clips; None where they are not known beforehand.
    """

    frames: Tensor
    frame_mask: Tensor
    tokens: Tensor | None = None
    token_mask: Tensor | None = None
    frame_terms: Tensor | None = None

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
        """Copy the batch to another device; on its own it is left as it is."""
        # Elsewhere what is copied could be gone before it is read.
        is_cuda = torch.device(device).type == "cuda"
        return self.mapped(lambda tensor: tensor.to(device, non_blocking=is_cuda))

    def mapped(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Return a batch of what `change` makes of each tensor."""

        def changed(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else change(tensor)

        return Batch(
            change(self.frames),
            change(self.frame_mask),
            tokens=changed(self.tokens),
            token_mask=changed(self.token_mask),
            frame_terms=changed(self.frame_terms),
        )


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


class ReadArrays(Sequence[np.ndarray]):
    """Embeddings of n clips that are read when they are asked for.

    `EmbeddedClips` takes one in place of a list of arrays. Any number of clips then
    needs the memory of the few that are being read.
    """

    @property
    @abstractmethod
    def lengths(self) -> np.ndarray:
        """Number of rows of each array, without reading any. Shape: (n,), int"""

    @property
    @abstractmethod
    def dtype(self) -> np.dtype:
        """The type that holds every array as it is; a few may be of a smaller one."""

    @abstractmethod
    def read(self, row: int) -> np.ndarray:
        """Read the array of a clip. Shape: (T, D)"""

    @abstractmethod
    def take(self, rows: Sequence[int]) -> ReadArrays:
        """Return the arrays `rows`, in that order, without reading them."""

    @abstractmethod
    def ahead(self, plan: Iterable[Sequence[int]]) -> Iterator[Sequence[np.ndarray]]:
        """Yield the arrays of each item of `plan`, and read the next ones meanwhile."""

    def __len__(self) -> int:
        return len(self.lengths)

    @overload
    def __getitem__(self, row: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, row: slice) -> ReadArrays: ...

    def __getitem__(self, row: int | slice) -> np.ndarray | ReadArrays:
        if isinstance(row, slice):
            return self.take(range(len(self))[row])
        return self.read(row)


class TrainingClips(Protocol):
    """What training and prediction need of n embedded clips, wherever they lie.

    Attributes
    ----------
    lengths : int array of shape (n,)
        Number of frames of each clip.
    """

    @property
    def lengths(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    def batch(self, rows: Sequence[int]) -> Batch:
        """Pad the clips `rows` to the longest of them."""

    def batches(self, plan: Iterable[Sequence[int]]) -> Iterator[Batch]:
        """Yield `batch` of each item of `plan`, and prepare the next ones meanwhile."""

    def by_length(self, size: int) -> Iterator[list[int]]:
        """Yield every row once, in batches of `size`, from the longest clip down."""

    def take(self, rows: Sequence[int]) -> TrainingClips:
        """Return the clips `rows`, in that order."""


@dataclass(frozen=True)
class EmbeddedClips:
    """Embeddings of n clips, in row order, at their true lengths.

    Parameters
    ----------
    frames : sequence of n arrays of shape (T, D), or ReadArrays
    tokens : sequence of n arrays of shape (T', D'), or ReadArrays, or None
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

    @property
    def lengths(self) -> np.ndarray:
        """Number of frames of each clip. Shape: (n,)"""
        return _lengths(self.frames)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Pad the clips `rows` to the longest of them."""
        (batch,) = self.batches([rows])
        return batch

    def batches(self, plan: Iterable[Sequence[int]]) -> Iterator[Batch]:
        """Yield `batch` of each item of `plan`.

        Arrays that are read when they are asked for are read ahead.
        """
        if self.tokens is None:
            for frames in arrays_ahead(self.frames, plan):
                yield self._padded(frames, None)
            return

        # Both read the plan, which may be an iterator.
        frame_plan, token_plan = itertools.tee(plan)
        both = zip(
            arrays_ahead(self.frames, frame_plan),
            arrays_ahead(self.tokens, token_plan),
            strict=True,
        )
        for frames, tokens in both:
            yield self._padded(frames, tokens)

    def _padded(
        self, frames: Sequence[np.ndarray], tokens: Sequence[np.ndarray] | None
    ) -> Batch:
        """Make a batch of the arrays of some clips."""
        padded, frame_mask = _pad(_scaled(frames, self.frame_scale))
        if self.max_frames is not None:
            frame_mask[:, self.max_frames :] = False
        if tokens is None:
            return Batch(padded, frame_mask)

        padded_tokens, token_mask = _pad(_scaled(tokens, self.token_scale))
        return Batch(
            padded,
            frame_mask,
            tokens=padded_tokens,
            token_mask=token_mask,
        )

    def take(self, rows: Sequence[int]) -> EmbeddedClips:
        """Return the clips `rows`, in that order."""
        tokens = None
        if self.tokens is not None:
            tokens = _take(self.tokens, rows)
        return replace(self, frames=_take(self.frames, rows), tokens=tokens)

    def by_length(self, size: int) -> Iterator[list[int]]:
        """Yield every row once, in batches of `size`, from the longest clip down.

        Clips of similar length share a batch, so that little is padded.
        """
        return longest_first(self.lengths, size)


def longest_first(lengths: np.ndarray, size: int) -> Iterator[list[int]]:
    """Yield every row once, in batches of `size`, from the longest clip down.

    Parameters
    ----------
    lengths : int array of shape (n,)
    size : int
    """
    # Sorting is stable: clips of equal length stay in row order.
    order = np.argsort(-lengths, kind="stable").tolist()
    for start in range(0, len(order), size):
        yield order[start : start + size]


def _lengths(arrays: Sequence[np.ndarray]) -> np.ndarray:
    if isinstance(arrays, ReadArrays):
        return arrays.lengths
    return np.array([len(array) for array in arrays], dtype=np.int64)


def common_dtype(arrays: Sequence[np.ndarray]) -> np.dtype:
    """The type that holds every one of some arrays as it is."""
    if isinstance(arrays, ReadArrays):
        return arrays.dtype
    return np.result_type(*{array.dtype for array in arrays})


def _take(arrays: Sequence[np.ndarray], rows: Sequence[int]) -> Sequence[np.ndarray]:
    if isinstance(arrays, ReadArrays):
        return arrays.take(rows)
    return [arrays[row] for row in rows]


def arrays_ahead(
    arrays: Sequence[np.ndarray], plan: Iterable[Sequence[int]]
) -> Iterator[Sequence[np.ndarray]]:
    """Yield the arrays of each item of `plan`."""
    if isinstance(arrays, ReadArrays):
        yield from arrays.ahead(plan)
        return
    for rows in plan:
        yield [arrays[row] for row in rows]


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
