"""ModelAttention: what one base model attended to in one clip."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from base_models.networks.attention import Attention


@dataclass(frozen=True)
class ModelAttention:
    """One base model's attention in one clip.

    Parameters
    ----------
    model : str
        Its name.
    frame_rate : float
        Embedding frames per second.
    stride : int
        Frames that the transport plan averaged into one.
    tokens : tuple of str
        Label of each row of the prompt's embedding.
    aspects : tuple of Attention
        One per aspect that was asked for.
    """

    model: str
    frame_rate: float
    stride: int
    tokens: tuple[str, ...]
    aspects: tuple[Attention, ...]

    def map(self, aspect: str, name: str) -> np.ndarray | None:
        """One map of an aspect by its name, or None where there is none."""
        for attention in self.aspects:
            if attention.aspect == aspect:
                return attention.maps.get(name)
        return None
