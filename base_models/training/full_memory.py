"""A device that has no memory for training: how it is said, and what to do then."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from base_models.encoders.memory import is_out_of_memory
from base_models.errors import UsageError


@contextlib.contextmanager
def naming_full_memory(device: torch.device, batch_size: int) -> Iterator[None]:
    """Raise the error of a device that has no memory for what the body computes.

    Parameters
    ----------
    device : torch.device
    batch_size : int
        Clips that are computed together.

    Raises
    ------
    UsageError
        Naming what helps. Other models may need less: they go on.
    """
    try:
        yield
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        cure = "end what else is in its memory"
        if device.type != "cpu":
            cure += ", or compute with --device cpu"
        if batch_size > 1:
            cure = (
                f"set a smaller batch_size (--set batch_size={batch_size // 2}), {cure}"
            )
        clips = "one clip" if batch_size == 1 else f"{batch_size} clips"
        raise UsageError(
            f"{device} has no memory for a network and a batch of {clips}. Finished "
            f"work is kept; {cure}, and run the same again."
        ) from error
