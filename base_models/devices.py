"""Where torch computes: the device that a name stands for, and the CPU's threads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from base_models.errors import UsageError
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import torch
else:
    torch = LazyLibrary("torch")


def resolve_device(name: str = "auto") -> torch.device:
    """The device to compute on: ``"auto"`` takes CUDA, else MPS, else the CPU.

    Raises
    ------
    UsageError
        when the named device is not present.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if name == "auto":
        fastest = next(device for device, available in present.items() if available)
        return torch.device(fastest)

    # A name may carry an index, as in "cuda:1".
    kind = name.split(":")[0]
    if not present.get(kind, False):
        known = [device for device in ("cpu", "cuda", "mps") if present[device]]
        raise UsageError(
            f"Device '{name}' is not available here. Present: auto, {', '.join(known)}."
        )
    return torch.device(name)


@contextlib.contextmanager
def cpu_threads(count: int) -> Iterator[None]:
    """Compute with `count` CPU threads inside the block; 0 leaves their number alone.

    Notes
    -----
    The number of threads changes the last digits of sums.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)
