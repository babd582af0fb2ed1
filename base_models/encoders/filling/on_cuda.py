"""Encode on a CUDA device that is never idle: nothing on the way waits for it.

Threads read and decode ahead; whole batches of one length are copied from pinned
memory, computed and copied back without a wait; other threads await and keep what
arrives. So the host is always some batches ahead of the device.

What a batch gives depends on its shape in the last digits. All batches of one length
therefore have one shape: one that is not whole is filled up with repeats of its last
item. So the embedding of a clip does not depend on its company.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np

from base_models.devices import kind_of
from base_models.encoders import known_encoders
from base_models.encoders.base import Encoder
from base_models.encoders.filling.encoded import check_finite, check_shape
from base_models.encoders.filling.prepared_items import named_failure, read_ahead
from base_models.encoders.filling.same_length import ItemBatch, SameLength
from base_models.encoders.memory import (
    is_out_of_memory,
    out_of_memory_error,
    release_memory,
)
from base_models.errors import ClipError
from base_models.optional_libraries import LazyLibrary
from base_models.processes.cores import n_cores

if TYPE_CHECKING:
    import torch
else:
    torch = LazyLibrary("torch")

MOST_IN_FLIGHT = 4
"""Batches that are copied, computed or written at a time."""
N_WRITERS = 4
"""Threads that hash and write embeddings, both of which leave others to work."""

Outcome = tuple[str, ClipError | None]
"""The key of a content, and why it cannot be used; None where it is kept."""

log = logging.getLogger(__name__)


class Keeper(Protocol):
    """What keeps embeddings."""

    def put(self, encoder: Encoder, key: str, embedding: np.ndarray) -> None:
        """Keep an embedding of shape (T, dim)."""


def takes_batches(encoder: Encoder) -> bool:
    """Whether an encoder is run as this module does; one of another package is not."""
    if not isinstance(encoder, Encoder) or encoder.name in known_encoders().points:
        return False
    return kind_of(encoder.device) == "cuda"


def fill_on_cuda(
    store: Keeper, encoder: Encoder, items: Mapping[str, str]
) -> Iterator[Outcome]:
    """Encode contents and keep their embeddings.

    Parameters
    ----------
    store : Keeper
        Several threads write to it, each other keys.
    encoder : Encoder
        On a CUDA device.
    items : mapping from str to str
        Key → path or prompt, those of like length next to each other.

    Yields
    ------
    outcome : Outcome
        One for each content, as soon as it is known.
    """
    waiting = SameLength(encoder.batch_size)
    writers = ThreadPoolExecutor(N_WRITERS, thread_name_prefix="store-writer")
    device = _Device(store, encoder, writers)
    try:
        for key, prepare in read_ahead(encoder, items, n_readers=n_cores()):
            try:
                batch = waiting.add(key, prepare())
            except ClipError as error:
                yield key, error
                continue
            if batch is not None:
                device.start(batch)
            yield from device.finished(MOST_IN_FLIGHT - 1)
        for batch in waiting.rest():
            device.start(batch)
            yield from device.finished(MOST_IN_FLIGHT - 1)
        yield from device.finished(0)
    finally:
        # What has arrived is kept, also when the work is stopped.
        writers.shutdown(wait=True)


class _Device:
    """Batches that are on their way through a device."""

    def __init__(
        self,
        store: Keeper,
        encoder: Encoder,
        writers: ThreadPoolExecutor,
    ) -> None:
        self.store = store
        self.encoder = encoder
        self.writers = writers
        # Items that go through it together; fewer once its memory was full.
        self.most = encoder.batch_size
        self._in_flight: deque[Future[list[Outcome]]] = deque()

    def finished(self, most: int) -> Iterator[Outcome]:
        """Outcomes of the oldest batches, until no more than `most` are under way."""
        while len(self._in_flight) > most:
            yield from self._in_flight.popleft().result()

    def start(self, batch: ItemBatch) -> None:
        """Begin with a batch; returns before it is computed."""
        with named_failure(self.encoder):
            embeddings = self._run(_pinned_batch(batch, self.encoder.batch_size))
        check_shape(self.encoder, embeddings.shape, n_items=self.encoder.batch_size)
        arrived = torch.empty(embeddings.shape, dtype=embeddings.dtype, pin_memory=True)
        arrived.copy_(embeddings, non_blocking=True)
        copied = torch.cuda.Event()
        copied.record(torch.cuda.current_stream(self.encoder.device))
        self._in_flight.append(
            self.writers.submit(self._keep, batch.keys, arrived, copied)
        )

    def _run(self, inputs: torch.Tensor) -> torch.Tensor:
        """Embed a whole batch, in parts where the device has no memory for it."""
        parts = []
        n_done = 0
        while n_done < len(inputs):
            part = inputs[n_done : n_done + self.most]
            try:
                there = part.to(self.encoder.device, non_blocking=True)
                parts.append(self.encoder.run(there))
                n_done += len(part)
                continue
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handler, whose traceback holds what has filled the memory.
            self._halve(len(part))
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _halve(self, n_items: int) -> None:
        release_memory(self.encoder.device)
        if n_items == 1:
            raise out_of_memory_error(self.encoder.name, self.encoder.device)
        self.most = n_items // 2
        log.warning(
            "%s has no memory for a batch of %d items of '%s'; going on with %d, which "
            "may change last digits.",
            self.encoder.device,
            n_items,
            self.encoder.name,
            self.most,
        )

    def _keep(
        self,
        keys: tuple[str, ...],
        arrived: torch.Tensor,
        copied: torch.cuda.Event,
    ) -> list[Outcome]:
        """Await a batch and keep it; runs in a thread of its own."""
        copied.synchronize()
        outcomes: list[Outcome] = []
        # The items that fill the batch up have no keys.
        for key, embedding in zip(keys, arrived.numpy(), strict=False):
            try:
                # A copy, as a store in memory would keep the whole batch alive.
                kept = check_finite(self.encoder, embedding).copy()
            except ClipError as error:
                outcomes.append((key, error))
                continue
            self.store.put(self.encoder, key, kept)
            outcomes.append((key, None))
        return outcomes


def _pinned_batch(batch: ItemBatch, size: int) -> torch.Tensor:
    """A whole batch in memory that a device copies from by itself.

    torch keeps such memory for the next batch, and does not give it away while it is
    copied from.
    """
    first = batch.arrays[0]
    dtype = torch.from_numpy(np.empty(0, dtype=first.dtype)).dtype
    pinned = torch.empty((size, *first.shape), dtype=dtype, pin_memory=True)
    rows = pinned.numpy()
    for place in range(size):
        rows[place] = batch.arrays[min(place, len(batch.arrays) - 1)]
    return pinned
