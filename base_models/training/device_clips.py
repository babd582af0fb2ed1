"""Embedded clips on the device that computes: resident there, or copied ahead.

Embeddings that fit lie on the device in the precision that they are stored in, packed
without padding, and a batch is gathered from them there. Others are padded on the host
and copied while the device computes. Batches are the same bit for bit either way.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from base_models.networks.batches import (
    Batch,
    EmbeddedClips,
    TrainingClips,
    arrays_ahead,
    common_dtype,
    longest_first,
)
from base_models.networks.standardisation import LIMIT, Standardisation
from base_models.training.transfer import ahead, pinned, row_numbers, upload

SHARE_OF_MEMORY = 0.5
"""Share of the free memory of a device that embeddings may take; the rest is for the
network."""
BATCHES_AHEAD = 2
"""Batches that are made on the host while the device computes."""
CLIPS_AT_ONCE = 32
"""Clips that are read at once while embeddings are copied to the device."""


def clips_on(
    clips: TrainingClips, device: torch.device, *, often: bool
) -> TrainingClips:
    """Return clips whose batches lie on a device.

    Parameters
    ----------
    clips : TrainingClips
    device : torch.device
    often : bool
        Whether they are read again and again, as in training; clips that are read once
        are computed while the next ones are copied.

    Returns
    -------
    clips : TrainingClips
        The same on the CPU; resident on another device where that is of use and they
        fit, else copied batch by batch.
    """
    if device.type == "cpu" or not isinstance(clips, EmbeddedClips):
        return clips
    if often and _bytes_of(clips) <= SHARE_OF_MEMORY * free_memory(device):
        return ResidentClips.of(clips, device)
    return UploadedClips(clips, device)


def free_memory(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return free
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory()
    return 0


def _bytes_of(clips: EmbeddedClips) -> int:
    """Bytes of all embeddings on a device, where those of an encoder have one type."""
    kinds = [clips.frames] if clips.tokens is None else [clips.frames, clips.tokens]
    total = 0
    for arrays in kinds:
        n_rows = int(EmbeddedClips(arrays).lengths.sum())
        total += n_rows * arrays[0].shape[1] * common_dtype(arrays).itemsize
    return total


@dataclass(frozen=True, eq=False)
class _Scale:
    """A `Standardisation` on a device."""

    mean: Tensor
    factor: Tensor

    @classmethod
    def of(cls, scale: Standardisation | None, device: torch.device) -> _Scale | None:
        if scale is None:
            return None
        mean = torch.tensor(scale.mean)
        factor = torch.tensor(scale.factor)
        return cls(upload(mean, device), upload(factor, device))

    def apply(self, values: Tensor) -> Tensor:
        """As `Standardisation.apply`, to the bit. Shape: (…, D) → (…, D)"""
        scaled = (values - self.mean) * self.factor
        scaled = scaled.clamp(-LIMIT, LIMIT)
        return scaled.masked_fill(self.factor == 0, 0.0)


@dataclass(frozen=True, eq=False)
class _Packed:
    """Embeddings of n clips, one behind the other.

    Parameters
    ----------
    values : Tensor of shape (rows of all clips, D)
        On the device, in the precision that they are stored in: the higher one where
        they differ.
    starts, lengths : int64 Tensors of shape (n,)
        First row of each clip and how many it has, on the device.
    host_lengths : int array of shape (n,)
        The lengths once more, where the host can read them without waiting.
    scale : _Scale or None
    """

    values: Tensor
    starts: Tensor
    lengths: Tensor
    host_lengths: np.ndarray
    scale: _Scale | None

    @classmethod
    def of(
        cls,
        arrays: Sequence[np.ndarray],
        lengths: np.ndarray,
        scale: Standardisation | None,
        *,
        parts: Iterable[Sequence[np.ndarray]],
        device: torch.device,
    ) -> _Packed:
        """Copy arrays to a device, part by part.

        Parameters
        ----------
        arrays : sequence of n arrays, of which the first one's width is looked at
        lengths : int array of shape (n,)
        scale : Standardisation or None
        parts : iterable of sequences of arrays, all of them in row order
        device : torch.device
        """
        # A few embeddings may be beyond float16, and are stored as float32.
        dtype = torch.from_numpy(np.empty(0, common_dtype(arrays))).dtype
        n_rows = int(lengths.sum())
        values = torch.empty((n_rows, arrays[0].shape[1]), dtype=dtype, device=device)
        begin = 0
        for part in parts:
            # Stored arrays may not be written to, which torch warns of; these may.
            rows = torch.from_numpy(np.concatenate(part))
            values[begin : begin + len(rows)].copy_(rows)
            begin += len(rows)

        lengths_there = upload(torch.from_numpy(lengths.astype(np.int64)), device)
        return cls(
            values=values,
            starts=lengths_there.cumsum(0) - lengths_there,
            lengths=lengths_there,
            host_lengths=lengths,
            scale=_Scale.of(scale, device),
        )

    def take(self, rows: Sequence[int]) -> _Packed:
        """Return the clips `rows`, of the same memory."""
        there = row_numbers(rows, self.values.device)
        return replace(
            self,
            starts=self.starts.index_select(0, there),
            lengths=self.lengths.index_select(0, there),
            host_lengths=self.host_lengths[list(rows)],
        )

    def padded(self, rows: Tensor, longest: int) -> tuple[Tensor, Tensor]:
        """Gather clips, padded with zeros on the right, and their mask.

        Shape: rows (B,) → (B, longest, D) float32, (B, longest) bool
        """
        places = torch.arange(longest, device=self.values.device)
        mask = places < self.lengths.index_select(0, rows)[:, None]

        # In the padding the first row of the clip is read, which there always is.
        starts = self.starts.index_select(0, rows)[:, None]
        source = starts + places * mask
        gathered = self.values.index_select(0, source.flatten())
        gathered = gathered.view(len(rows), longest, -1).float()
        if self.scale is not None:
            gathered = self.scale.apply(gathered)
        return gathered.masked_fill(~mask[..., None], 0.0), mask


@dataclass(frozen=True, eq=False)
class ResidentClips:
    """n embedded clips that lie on a device.

    Parameters
    ----------
    frames : _Packed
    tokens : _Packed or None
    max_frames : int or None
        As in `EmbeddedClips`.
    """

    frames: _Packed
    tokens: _Packed | None
    max_frames: int | None

    @classmethod
    def of(cls, clips: EmbeddedClips, device: torch.device) -> ResidentClips:
        """Copy clips to a device; each embedding is read once."""
        frames = _packed(clips.frames, clips.frame_scale, device)
        tokens = None
        if clips.tokens is not None:
            tokens = _packed(clips.tokens, clips.token_scale, device)
        return cls(frames, tokens, clips.max_frames)

    @property
    def lengths(self) -> np.ndarray:
        """Number of frames of each clip. Shape: (n,)"""
        return self.frames.host_lengths

    def __len__(self) -> int:
        return len(self.lengths)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Gather the clips `rows`, padded to the longest of them."""
        (batch,) = self.batches([rows])
        return batch

    def batches(self, plan: Iterable[Sequence[int]]) -> Iterator[Batch]:
        """Yield `batch` of each item of `plan`, whose rows are copied at once."""
        items = [list(rows) for rows in plan]
        together = row_numbers(
            list(itertools.chain.from_iterable(items)), self.frames.values.device
        )
        of_items = together.split([len(rows) for rows in items])
        for rows, there in zip(items, of_items, strict=True):
            yield self._gathered(rows, there)

    def _gathered(self, rows: Sequence[int], there: Tensor) -> Batch:
        """Gather clips by their row numbers here and on the device."""
        frames, frame_mask = self.frames.padded(there, _longest(self.frames, rows))
        if self.max_frames is not None:
            frame_mask[:, self.max_frames :] = False
        if self.tokens is None:
            return Batch(frames, frame_mask)

        tokens, token_mask = self.tokens.padded(there, _longest(self.tokens, rows))
        return Batch(frames, frame_mask, tokens=tokens, token_mask=token_mask)

    def by_length(self, size: int) -> Iterator[list[int]]:
        """Yield every row once, in batches of `size`, from the longest clip down."""
        return longest_first(self.lengths, size)

    def take(self, rows: Sequence[int]) -> ResidentClips:
        """Return the clips `rows`, in that order, of the same memory."""
        tokens = None if self.tokens is None else self.tokens.take(rows)
        return replace(self, frames=self.frames.take(rows), tokens=tokens)


def _packed(
    arrays: Sequence[np.ndarray], scale: Standardisation | None, device: torch.device
) -> _Packed:
    """Copy the embeddings of one encoder to a device."""
    clips = EmbeddedClips(arrays)
    starts = range(0, len(arrays), CLIPS_AT_ONCE)
    every_row = range(len(arrays))
    plan = [every_row[start : start + CLIPS_AT_ONCE] for start in starts]
    return _Packed.of(
        arrays,
        clips.lengths,
        scale,
        parts=arrays_ahead(arrays, plan),
        device=device,
    )


def _longest(packed: _Packed, rows: Sequence[int]) -> int:
    return int(packed.host_lengths[rows].max())


@dataclass(frozen=True)
class UploadedClips:
    """n embedded clips of the host, whose batches are copied to a device ahead.

    Parameters
    ----------
    clips : EmbeddedClips
    device : torch.device
    """

    clips: EmbeddedClips
    device: torch.device

    @property
    def lengths(self) -> np.ndarray:
        """Number of frames of each clip. Shape: (n,)"""
        return self.clips.lengths

    def __len__(self) -> int:
        return len(self.clips)

    def batch(self, rows: Sequence[int]) -> Batch:
        """Pad the clips `rows` to the longest of them, on the device."""
        return self.clips.batch(rows).to(self.device)

    def batches(self, plan: Iterable[Sequence[int]]) -> Iterator[Batch]:
        """Yield `batch` of each item of `plan`, which a thread makes ahead."""
        made = (self._ready(batch) for batch in self.clips.batches(plan))
        for batch in ahead(made, BATCHES_AHEAD):
            yield batch.to(self.device)

    def by_length(self, size: int) -> Iterator[list[int]]:
        """Yield every row once, in batches of `size`, from the longest clip down."""
        return self.clips.by_length(size)

    def _ready(self, batch: Batch) -> Batch:
        """The batch where the device copies from without the host."""
        return batch.mapped(lambda tensor: pinned(tensor, self.device))

    def take(self, rows: Sequence[int]) -> UploadedClips:
        """Return the clips `rows`, in that order."""
        return replace(self, clips=self.clips.take(rows))
