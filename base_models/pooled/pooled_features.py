"""Clips as vectors: statistics of their frames and tokens, in blocks.

The blocks of an aspect are what it can be explained by: the audio, the prompt, and what
the two have in common.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from base_models.errors import UsageError
from base_models.networks.batches import EmbeddedClips

AUDIO = "audio"
TEXT = "text"
JOINT = "joint"
BLOCKS = (AUDIO, TEXT, JOINT)

TEXT_COMPONENTS = 10
"""Principal components that are kept of prompts, and of what they share with clips.

Some hundred clips cannot tell which of a text encoder's many dimensions matter.
"""
FLOOR = 0.1
"""Share of the mean spread that is added to a spread before its logarithm is taken, so
that a silent dimension of one clip does not outweigh all others."""
DEAD = 1e-6
"""A column that varies less than this, relative to its size, is dropped."""


@dataclass(frozen=True)
class Block:
    """How one block of features is standardised.

    Parameters
    ----------
    center, scale : float64 arrays of shape (columns,)
        Mean and standard deviation over the training clips. The scale of a column that
        is constant there is 0, and the column is dropped; a file holds finite numbers
        alone, so infinity could not say so.
    """

    center: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, columns: np.ndarray, sizes: np.ndarray) -> Self:
        """Measure the training clips.

        Parameters
        ----------
        columns : array of shape (n, columns)
        sizes : array of shape (columns,)
            What is large for a column; one that varies by next to nothing of it is
            taken for constant.
        """
        center = columns.mean(axis=0)
        scale = columns.std(axis=0)
        is_dead = scale <= DEAD * sizes
        return cls(center, np.where(is_dead, 0.0, scale))

    @property
    def n_live(self) -> int:
        """Columns that vary."""
        return int((self.scale > 0).sum())

    def apply(self, columns: np.ndarray) -> np.ndarray:
        """Standardised columns that vary, shape (n, n_live)."""
        is_live = self.scale > 0
        return (columns[:, is_live] - self.center[is_live]) / self.scale[is_live]


@dataclass(frozen=True)
class ClipStatistics:
    """Statistics over time of the embeddings of n clips, which are read once for them.

    Parameters
    ----------
    means : float64 array of shape (n, D)
        Of the frames.
    spreads : float64 array of shape (n, 2 D)
        Standard deviation of the frames, and mean absolute step from one to the next.
    text_means : float64 array of shape (n, D'), or None
        Of the tokens; None without text.
    """

    means: np.ndarray
    spreads: np.ndarray
    text_means: np.ndarray | None = None

    @classmethod
    def of(cls, clips: EmbeddedClips) -> Self:
        """Measure embedded clips."""
        text_means = None if clips.tokens is None else _means(clips.tokens)
        means, spreads = _means_and_spreads(clips.frames)
        return cls(means, spreads, text_means)

    def take(self, rows: np.ndarray) -> ClipStatistics:
        """The clips `rows`, in that order."""
        text_means = None if self.text_means is None else self.text_means[rows]
        return ClipStatistics(self.means[rows], self.spreads[rows], text_means)

    def text(self) -> np.ndarray:
        """The means of the tokens.

        Raises
        ------
        ValueError
            when the clips hold no tokens.
        """
        if self.text_means is None:
            raise ValueError("These clips hold no tokens, but their prompts count.")
        return self.text_means


@dataclass(frozen=True)
class Pooling:
    """Pools embeddings of clips to standardised features.

    Of the frames: their mean, and the logarithms of their standard deviation and of the
    mean absolute difference between neighbours, dimension by dimension. Of the tokens:
    the first principal components of their mean. Where clip and prompt lie in one
    space: their cosine, and the first principal components of their product. All of it
    is standardised by the training clips, so that the scale of an encoder's embeddings
    does not matter; the joint block weighs as much as the audio, however few columns it
    has.

    Parameters
    ----------
    arrays : mapping of str to array
        All that was learnt; see `fit`.
    with_text, shares_space : bool
        Whether the prompt counts, and whether it lies in the space of the audio.
    """

    arrays: Mapping[str, np.ndarray]
    with_text: bool = False
    shares_space: bool = False

    @classmethod
    def fit(
        cls,
        clips: ClipStatistics,
        with_text: bool = False,
        shares_space: bool = False,
    ) -> Pooling:
        """Learn how to pool from the training clips.

        Raises
        ------
        UsageError
            when nothing in the embeddings varies from clip to clip.
        """
        arrays: dict[str, np.ndarray] = {}
        floors = FLOOR * clips.spreads.mean(axis=0)
        # A dimension without any spread in training has no logarithm.
        arrays["spread_floors"] = np.where(floors > 0, floors, 1.0)
        if with_text:
            tokens = clips.text()
            arrays["text_center"] = tokens.mean(axis=0)
            arrays["text_axes"] = _principal_axes(tokens)
            if shares_space:
                products = _unit(clips.means) * _unit(tokens)
                arrays["joint_center"] = products.mean(axis=0)
                arrays["joint_axes"] = _principal_axes(products)

        draft = cls(arrays, with_text=with_text, shares_space=shares_space)
        n_live = 0
        n_means = clips.means.shape[1]
        for name, columns in draft._raw_blocks(clips).items():
            sizes = np.abs(columns).max(axis=0)
            if name != AUDIO:
                sizes += 1
            else:
                # Logarithms have no unit; means have that of the encoder, of which a
                # millionth may be all that there is.
                sizes[n_means:] += 1
            block = Block.fit(columns, sizes)
            arrays[f"{name}_mean"] = block.center
            arrays[f"{name}_scale"] = block.scale
            n_live += block.n_live
        if not n_live:
            raise UsageError(
                "The embeddings of all training clips are equal, so nothing can be "
                "learnt from them; use another encoder, or look at the audio with "
                "check_clips."
            )
        return cls(arrays, with_text=with_text, shares_space=shares_space)

    def blocks(self, clips: ClipStatistics) -> dict[str, np.ndarray]:
        """Features of n clips: float64 arrays of shape (n, columns) by block.

        0 is what the mean training clip has.
        """
        blocks = {}
        for name, columns in self._raw_blocks(clips).items():
            block = Block(self.arrays[f"{name}_mean"], self.arrays[f"{name}_scale"])
            blocks[name] = block.apply(columns)
        if JOINT in blocks and blocks[JOINT].shape[1]:
            share = blocks[AUDIO].shape[1] / blocks[JOINT].shape[1]
            blocks[JOINT] = blocks[JOINT] * np.sqrt(max(share, 1.0))
        return blocks

    def check(self, audio_dim: int, text_dim: int) -> int:
        """Check arrays that come from a file.

        Parameters
        ----------
        audio_dim, text_dim : int
            Dimensions of the embeddings; the latter is not read without text.

        Returns
        -------
        n_columns : int
            Columns of all blocks together.

        Raises
        ------
        ValueError
            when an array is missing or too many, or has a shape or values that cannot
            have been learnt.
        """
        shapes: dict[str, tuple[int, ...]] = {"spread_floors": (2 * audio_dim,)}
        columns = {AUDIO: 3 * audio_dim}
        if self.with_text:
            n_axes = self._n_rows("text_axes")
            shapes |= {"text_center": (text_dim,), "text_axes": (n_axes, text_dim)}
            columns[TEXT] = n_axes
        if self.shares_space:
            n_axes = self._n_rows("joint_axes")
            shapes |= {"joint_center": (audio_dim,), "joint_axes": (n_axes, audio_dim)}
            columns[JOINT] = 1 + n_axes
        for name, count in columns.items():
            shapes |= {f"{name}_mean": (count,), f"{name}_scale": (count,)}

        if set(self.arrays) != set(shapes):
            raise ValueError("arrays of the pooling are missing, or too many")
        n_columns = 0
        for name, shape in shapes.items():
            array = self.arrays[name]
            # The scale of a constant column is 0.
            is_scale = name.endswith("_scale")
            is_legal = (
                array.shape == shape
                and array.dtype == np.float64
                and bool(np.isfinite(array).all())
                and (not is_scale or bool((array >= 0).all()))
                and (not name.endswith("_floors") or bool((array > 0).all()))
            )
            if not is_legal:
                raise ValueError(f"array '{name}' of the pooling is damaged")
            if is_scale:
                n_columns += int((array > 0).sum())
        return n_columns

    def _n_rows(self, name: str) -> int:
        """Rows of an array, 0 where there is none."""
        array = self.arrays.get(name)
        return len(array) if array is not None and array.ndim else 0

    def _raw_blocks(self, clips: ClipStatistics) -> dict[str, np.ndarray]:
        """Features before they are standardised."""
        spreads = np.log(clips.spreads + self.arrays["spread_floors"])
        blocks = {AUDIO: np.concatenate([clips.means, spreads], axis=1)}
        if not self.with_text:
            return blocks

        tokens = clips.text()
        centered = tokens - self.arrays["text_center"]
        blocks[TEXT] = centered @ self.arrays["text_axes"].T
        if self.shares_space:
            products = _unit(clips.means) * _unit(tokens)
            centered = products - self.arrays["joint_center"]
            components = centered @ self.arrays["joint_axes"].T
            cosine = products.sum(axis=1, keepdims=True)
            blocks[JOINT] = np.concatenate([cosine, components], axis=1)
        return blocks


def _means(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Mean over time of n arrays (T, D): shape (n, D)."""
    # Sums of float16 numbers would overflow.
    return np.stack([array.mean(axis=0, dtype=np.float64) for array in arrays])


def _means_and_spreads(arrays: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean over time of n arrays (T, D), and their spreads: (n, D) and (n, 2 D).

    The spreads are the standard deviation and the mean absolute step. Arrays may have
    to be read, so that each is taken once.
    """
    means = []
    spreads = []
    for array in arrays:
        values = array.astype(np.float64)
        steps = np.zeros(values.shape[1])
        # A single frame has no neighbour.
        if len(values) > 1:
            steps = np.abs(np.diff(values, axis=0)).mean(axis=0)
        means.append(values.mean(axis=0))
        spreads.append(np.concatenate([values.std(axis=0), steps]))
    return np.stack(means), np.stack(spreads)


def _unit(vectors: np.ndarray) -> np.ndarray:
    """Vectors (n, D) of length 1; a vector of zeros stays one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)


def _principal_axes(vectors: np.ndarray) -> np.ndarray:
    """The first principal axes of n vectors (n, D): shape (components, D)."""
    centered = vectors - vectors.mean(axis=0)
    _, values, axes = np.linalg.svd(centered, full_matrices=False)
    # Equal vectors, and n vectors beyond n - 1 axes, have no further one.
    n_axes = int((values > DEAD * max(values[0], 1e-300)).sum())
    chosen = axes[: min(n_axes, TEXT_COMPONENTS)]
    # The sign of an axis is arbitrary; this one does not depend on the library.
    largest = np.abs(chosen).argmax(axis=1)
    signs = np.sign(chosen[np.arange(len(chosen)), largest])
    return chosen * signs[:, None]
