"""Parameters and multiply-accumulates of a module, counted without computing anything.

Modules and inputs are on torch's meta device, where tensors have shapes and no values,
so that networks of any size are counted within seconds and without their weights.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

META = "meta"

Module = TypeVar("Module", bound=nn.Module)


@dataclass(frozen=True)
class Cost:
    """What one forward pass costs.

    Parameters
    ----------
    parameters : numbers that are learnt
    macs : multiply-accumulates of matrix products and convolutions
    attention_macs : those of them that multiply batches of matrices, as attention
        multiplies queries, keys and values (and mel filters a batch of spectra).
        Counters that look at layers alone leave them out
    """

    parameters: int
    macs: int
    attention_macs: int

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            parameters=self.parameters + other.parameters,
            macs=self.macs + other.macs,
            attention_macs=self.attention_macs + other.attention_macs,
        )


def on_meta(build: Callable[[], Module]) -> Module:
    """Build a module without memory for its weights, ready for `count_cost`."""
    with torch.device(META):
        module = build()
    # Some parts compute with values when they are built, and are on the CPU still.
    return module.to(META).eval()


def count_cost(module: nn.Module, *inputs: Any) -> tuple[Cost, torch.Tensor]:
    """Count one forward pass of a module on the meta device.

    Parameters
    ----------
    module : torch module, see `on_meta`
    inputs : what its `forward` takes

    Returns
    -------
    cost : Cost
    output : meta Tensor, of which the shape is known

    Notes
    -----
    torch counts two operations per multiply-accumulate. What is not a product of
    matrices or a convolution (norms, activations, the scan of Mamba) is not counted.
    """
    counter = FlopCounterMode(display=False)
    lstm = _LSTMAtOnce()
    with torch.no_grad(), lstm, _NothingIsMasked(), counter:
        output = module(*inputs)

    operations = counter.get_flop_counts().get("Global", {})
    attention = sum(
        count
        for operation, count in operations.items()
        if "bmm" in str(operation) or "attention" in str(operation)
    )
    cost = Cost(
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        macs=counter.get_total_flops() // 2 + lstm.macs,
        attention_macs=attention // 2,
    )
    return cost, output


class _NothingIsMasked(TorchDispatchMode):
    """Answers True where a forward pass asks for a value, which meta tensors lack.

    What is asked is whether all of a mask is True, and no input here is padded.
    """

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default:
            return True
        return func(*args, **(kwargs or {}))


class _LSTMAtOnce(TorchFunctionMode):
    """Counts an LSTM as a whole, which on the meta device is run step by step.

    Attributes
    ----------
    macs : multiply-accumulates so far
    """

    def __init__(self) -> None:
        super().__init__()
        self.macs = 0

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        if func is not torch.lstm:
            return func(*args, **(kwargs or {}))

        # Each step multiplies a vector with every weight matrix.
        frames, _, weights = args[:3]
        steps = frames.shape[:-1].numel()
        matrices = [weight for weight in weights if weight.dim() == 2]
        self.macs += steps * sum(matrix.numel() for matrix in matrices)
        # Of the two outputs, only the hidden state of every step is looked at.
        hidden_size = matrices[-1].shape[-1]
        return frames.new_empty(*frames.shape[:-1], hidden_size), None, None
