"""A device that has no memory for a batch: how it says so, and what to do then."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from base_models.errors import MachineFault
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import torch
else:
    torch = LazyLibrary("torch")

_MARKS = ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED")
"""What the messages of devices without an error of their own have in common."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of torch says that a device has no memory left.

    >>> is_out_of_memory(RuntimeError("MPS backend out of memory"))
    True
    """
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        mark in str(error) for mark in _MARKS
    )


def release_memory(device: str) -> None:
    """Give back to the device what torch keeps of it for later."""
    # What has failed may be held by circles of references, as of tracebacks.
    gc.collect()
    kind = torch.device(device).type
    if kind == "cuda" and torch.cuda.is_available():
        torch.cuda.empty_cache()
    elif kind == "mps" and torch.backends.mps.is_available():
        torch.mps.empty_cache()


def out_of_memory_error(encoder: str, device: str) -> MachineFault:
    """The error of an encoder that finds no memory for a single item."""
    cure = "end what else is in its memory"
    if torch.device(device).type != "cpu":
        cure += ", or compute with --device cpu"
    return MachineFault(
        f"{device} has no memory for a single item of the encoder '{encoder}'. "
        f"Finished work is kept; {cure}, and run the same again."
    )
