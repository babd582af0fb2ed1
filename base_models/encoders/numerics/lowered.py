"""Layers in bfloat16 within a network in float32.

bfloat16 has the range of float32 and 8 bits of precision, so that nothing overflows.
Convolutions and linear layers are nearly all of the work and add up in float32 inside;
normalisations, softmax and front ends are cheap, and lose most: they stay in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_LOWERED = (nn.Linear, *_CONVOLUTIONS)


def lower_layers(module: nn.Module) -> None:
    """Let convolutions and linear layers of a network compute in bfloat16, in place.

    Weights are rounded once, here; a layer rounds what it reads, and gives float32.
    """
    for layer in module.modules():
        # Subclasses are somebody's own layers, which may read their weights themselves.
        if type(layer) in _LOWERED and not _reads_signal(layer):
            layer.to(torch.bfloat16)
            if isinstance(layer, nn.Conv2d):
                layer.to(memory_format=torch.channels_last)
            layer.register_forward_pre_hook(_round_inputs)
            layer.register_forward_hook(_as_float32)


def _reads_signal(layer: nn.Module) -> bool:
    """Whether a layer reads samples or a spectrogram: one channel.

    It is a hundredth of the work, and rounding there is noise that all others hear.
    """
    return isinstance(layer, _CONVOLUTIONS) and layer.in_channels == 1


def _round_inputs(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    # Processors read all channels of a place at once.
    layout = torch.preserve_format
    if isinstance(layer, nn.Conv2d):
        layout = torch.channels_last
    return tuple(part.to(torch.bfloat16, memory_format=layout) for part in inputs)


def _as_float32(
    layer: nn.Module,
    inputs: tuple[Any, ...],
    outputs: torch.Tensor,
) -> torch.Tensor:
    return outputs.float()
