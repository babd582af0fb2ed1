"""Where torch computes: the device that a name stands for on this machine, and how many of its CPU's threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from base_models.errors import UsageError


def resolve_device(name: str = "auto") -> torch.device:
    """The device to compute on: ``"auto"`` takes CUDA, else MPS, else the CPU.

    Raises
    ------
    UsageError
        when the named device is not present.
    """
    present = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if name == "auto":
        return torch.device(
            next(device for device in ("cuda", "mps", "cpu") if present[device])
        )
    if not present.get(name.split(":")[0], False):
        known = ", ".join(device for device, there in present.items() if there)
        raise UsageError(
            f"Device '{name}' is not available here. Present: auto, {known}."
        )
    return torch.device(name)


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """As many CPU threads, for a while; 0 leaves them alone. The number moves the last digits of sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
