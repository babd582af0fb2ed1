"""Where torch computes: the device that a name stands for on this machine."""

from __future__ import annotations

import torch

from base_models.errors import UsageError


def resolve_device(name: str = "auto") -> torch.device:
    """The device to compute on: ``"auto"`` takes CUDA, else MPS, else the CPU.

    Raises
    ------
    UsageError
        when the named device is not present.
    """
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device(next(device for device in ("cuda", "mps", "cpu") if present[device]))
    if not present.get(name.split(":")[0], False):
        known = ", ".join(device for device, there in present.items() if there)
        raise UsageError(f"Device '{name}' is not available here. Present: auto, {known}.")
    return torch.device(name)
