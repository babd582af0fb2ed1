"""Layers in bfloat16 within a network in float32.

bfloat16 has the range of float32 and 8 bits of precision, so that nothing overflows.
Convolutions and linear layers are nearly all of the work and add up in float32 inside;
normalisations, softmax and front ends are cheap, and lose most: they stay in float32.
"""

from __future__ import annotations

from collections.abc import Callable
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
            layer.register_forward_pre_hook(_to_bfloat16, with_kwargs=True)
            layer.register_forward_hook(_to_float32)


def round_layers(module: nn.Module) -> None:
    """Let the same layers round as in bfloat16, but compute in float32, in place.

    It is for processors without instructions for bfloat16, which take many times longer
    in it. A layer gives what it gives in bfloat16, but for outputs that are rounded the
    other way since sums are in another order: fewer than one of a hundred. Through the
    layers of a whole encoder these become about as much as bfloat16 changes.
    """
    for layer in module.modules():
        if _is_lowered(layer):
            layer.to(torch.bfloat16).to(torch.float32)

    # Once the weights are rounded, as they are transformed there.
    use_winograd(module)
    for layer in module.modules():
        if _is_lowered(layer) or isinstance(layer, WinogradConv2d):
            layer.register_forward_pre_hook(_round_inputs, with_kwargs=True)
            layer.register_forward_hook(_round_outputs)


def _is_lowered(layer: nn.Module) -> bool:
    # Subclasses are somebody's own layers, which may read their weights themselves.
    return type(layer) in _LOWERED and not _reads_signal(layer)


def _reads_signal(layer: nn.Module) -> bool:
    """Whether a layer reads samples or a spectrogram: one channel.

    It is a hundredth of the work, and rounding there is noise that all others hear.
    """
    return isinstance(layer, _CONVOLUTIONS) and layer.in_channels == 1


def _to_bfloat16(
    layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    # Processors read all channels of a place at once.
    layout = torch.preserve_format
    if isinstance(layer, nn.Conv2d):
        layout = torch.channels_last

    def lowered(part: torch.Tensor) -> torch.Tensor:
        return part.to(torch.bfloat16, memory_format=layout)

    return _changed(lowered, inputs, named)


def _to_float32(
    layer: nn.Module,
    inputs: tuple[Any, ...],
    outputs: torch.Tensor,
) -> torch.Tensor:
    return outputs.float()


def _round_inputs(
    layer: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return _changed(_rounded, inputs, named)


def _round_outputs(
    layer: nn.Module,
    inputs: tuple[Any, ...],
    outputs: torch.Tensor,
) -> torch.Tensor:
    return _rounded(outputs)


def _changed(
    change: Callable[[torch.Tensor], torch.Tensor],
    inputs: tuple[Any, ...],
    named: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What a layer is called with, changed."""
    by_name = {name: change(part) for name, part in named.items()}
    return tuple(change(part) for part in inputs), by_name


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """Numbers of bfloat16, in float32."""
    return values.to(torch.bfloat16).float()
