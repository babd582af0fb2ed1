"""When checkpoints are written: after every epoch, or now and then from a thread.

On the CPU an epoch is on disk before the next one begins. An accelerator is not kept
waiting for a disk: there the weights are copied while it goes on, and a thread writes
them, at most every half minute. A killed run then repeats what came after that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor

from base_models.training.checkpoints import CheckpointFile, save_checkpoint
from base_models.training.transfer import Download

SECONDS_BETWEEN = 30.0
"""Least time between two checkpoints of a run on an accelerator."""


class CheckpointWriter:
    """Writes the checkpoints of one training run.

    Parameters
    ----------
    file : CheckpointFile or None
        None writes nothing.
    device : torch.device
        Where the run trains.
    seconds_between : float
        Of no effect on the CPU.
    """

    def __init__(
        self,
        file: CheckpointFile | None,
        device: torch.device,
        seconds_between: float = SECONDS_BETWEEN,
    ) -> None:
        self.file = file
        self.seconds_between = seconds_between
        self.worker: ThreadPoolExecutor | None = None
        if file is not None and device.type != "cpu":
            self.worker = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self.writing: Future[None] | None = None
        self.last_written = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.worker is not None:
            self.worker.shutdown(wait=True)
        if self.writing is not None and error is None:
            self.writing.result()

    def offer(
        self, tensors: Callable[[], Mapping[str, Tensor]], history: list[Any]
    ) -> None:
        """Write a checkpoint of the epoch that has just ended, if it is time for one.

        Parameters
        ----------
        tensors : callable
            Gives the tensors to keep.
        history : list of records
            Up to this epoch.

        Raises
        ------
        OSError
            when this one cannot be written, or on an accelerator the one before.
        """
        if self.worker is None:
            self._save(tensors, history)
            return
        if time.monotonic() - self.last_written < self.seconds_between:
            return
        if self.writing is not None:
            self.writing.result()
        copies = Download(tensors())
        self.last_written = time.monotonic()
        self.writing = self.worker.submit(self._save, copies.wait, list(history))

    def catch_up(
        self, tensors: Callable[[], Mapping[str, Tensor]], history: list[Any]
    ) -> None:
        """Write the epoch that was offered last, if it is not on disk, and wait."""
        if self.worker is None:
            return
        if self.writing is not None:
            self.writing.result()
        self._save(tensors, history)

    def _save(
        self, tensors: Callable[[], Mapping[str, Tensor]], history: list[Any]
    ) -> None:
        if self.file is None:
            return
        state = {"identity": self.file.identity, "history": history}
        save_checkpoint(self.file.path, tensors(), state)
