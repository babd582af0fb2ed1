"""Constants of a computation, which follow it to any device."""

from __future__ import annotations

import torch
from torch import Tensor


class Constant:
    """A tensor that never changes, copied once to each device and type that asks.

    A copy at every step would make an accelerator wait for the host.

    Parameters
    ----------
    values : Tensor
        On the CPU.
    """

    def __init__(self, values: Tensor) -> None:
        self.values = values
        self._copies: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def like(self, other: Tensor) -> Tensor:
        """The constant on the device and in the type of another tensor."""
        place = (other.device, other.dtype)
        if place not in self._copies:
            # A copy that is first asked for in inference serves training as well.
            with torch.inference_mode(mode=False):
                self._copies[place] = self.values.to(other)
        return self._copies[place]
