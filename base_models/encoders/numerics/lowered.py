"""Layers in bfloat16 within a network in float32.

bfloat16 has the range of float32 and 8 bits of precision, so that nothing overflows.
Convolutions and linear layers are nearly all of the work and add up in float32 inside;
normalisations, softmax and front ends are cheap, and lose most: they stay in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from base_models.encoders.numerics.winograd import WinogradConv2d, use_winograd

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d)
_LOWERED = (nn.Linear, *_CONVOLUTIONS)


def lower_layers(module: nn.Module) -> None:
    """Let convolutions and linear layers of a network compute in bfloat16, in place.

    Weights are rounded once, here; a layer rounds what it reads, and gives float32.
    """
    for layer in module.modules():
        if _is_lowered(layer):
            layer.to(torch.bfloat16)
            if isinstance(layer, nn.Conv2d):
                layer.weight.data = layer.weight.to(memory_format=torch.channels_last)
            layer.register_forward_pre_hook(_round_inputs)
            layer.register_forward_hook(_as_float32)


def round_layers(module: nn.Module) -> None:
    """Let the same layers round as they do in bfloat16, and compute in float32.

    A processor without instructions for bfloat16 takes many times longer in it. Of the
    same rounded numbers the sums differ in their order alone: some outputs are rounded
    the other way.
    """
    for layer in module.modules():
        if _is_lowered(layer):
            layer.to(torch.bfloat16).to(torch.float32)

    # With weights that are rounded; what it puts in their place is to round, too.
    use_winograd(module)
    for layer in module.modules():
        if _is_lowered(layer) or isinstance(layer, WinogradConv2d):
            layer.register_forward_pre_hook(_rounded_inputs)
            layer.register_forward_hook(_rounded_outputs)


def _is_lowered(layer: nn.Module) -> bool:
    # Subclasses are somebody's own layers, which may read their weights themselves.
    return type(layer) in _LOWERED and not _reads_signal(layer)


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


def _rounded_inputs(layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(_rounded(part) for part in inputs)


def _rounded_outputs(
    layer: nn.Module,
    inputs: tuple[Any, ...],
    outputs: torch.Tensor,
) -> torch.Tensor:
    return _rounded(outputs)


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """Numbers of bfloat16, in float32."""
    return values.to(torch.bfloat16).float()


def _as_float32(
    layer: nn.Module,
    inputs: tuple[Any, ...],
    outputs: torch.Tensor,
) -> torch.Tensor:
    return outputs.float()
