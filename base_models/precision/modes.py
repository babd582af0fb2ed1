"""Contexts in which torch computes in one precision, whatever its caller has set.

torch has two families of switches for the precision of float32 arithmetic: the older
``allow_tf32``, and ``fp32_precision`` of each backend. The older ones raise where the
newer were used, so that only the newer are read and set here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from base_models.optional_libraries import LazyLibrary
from base_models.precision.names import FLOAT32, TF32

if TYPE_CHECKING:
    import torch
else:
    torch = LazyLibrary("torch")

_EXACT = "ieee"
"""torch's name for float32 that is not rounded."""


@contextlib.contextmanager
def full_precision(device: str) -> Iterator[None]:
    """Compute in float32 with repeatable kernels, whatever the caller has set."""
    with computing_in(FLOAT32, device):
        yield


@contextlib.contextmanager
def computing_in(precision: str, device: str) -> Iterator[None]:
    """Compute in a precision with repeatable kernels, whatever the caller has set.

    Parameters
    ----------
    precision : {"float32", "tf32", "bfloat16"}
        Under bfloat16, layers that are in bfloat16 stay so; all others are float32.
    device : str

    Notes
    -----
    All switches are those of the process: other threads compute alike meanwhile.
    """
    device_type = torch.device(device).type
    on_cuda = TF32 if precision == TF32 else _EXACT
    with contextlib.ExitStack() as stack:
        # There is none on the meta device, where only shapes are computed.
        if torch.amp.is_autocast_available(device_type):
            stack.enter_context(torch.autocast(device_type, enabled=False))
        if device_type == "cuda":
            # By default torch allows TF32 in convolutions and recurrent layers.
            for switch in _cuda_switches():
                stack.enter_context(_set(switch, "fp32_precision", on_cuda))
            cudnn = torch.backends.cudnn
            stack.enter_context(_set(cudnn, "enabled", True))
            stack.enter_context(_set(cudnn, "deterministic", True))
        # ``set_float32_matmul_precision("medium")`` is bfloat16 on some processors.
        for switch in _cpu_switches():
            stack.enter_context(_set(switch, "fp32_precision", _EXACT))
        yield


def _cuda_switches() -> tuple[Any, ...]:
    backends = torch.backends
    return backends.cuda.matmul, backends.cudnn.conv, backends.cudnn.rnn


def _cpu_switches() -> tuple[Any, ...]:
    mkldnn = torch.backends.mkldnn
    return mkldnn.matmul, mkldnn.conv, mkldnn.rnn


@contextlib.contextmanager
def _set(
    switch: Any,
    name: str,
    value: object,
) -> Iterator[None]:
    """Give an attribute another value inside the block."""
    before = getattr(switch, name)
    # Most encodes change nothing, as torch's defaults on a CPU are exact.
    if before == value:
        yield
        return
    setattr(switch, name, value)
    try:
        yield
    finally:
        setattr(switch, name, before)
