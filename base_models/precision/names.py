"""The precisions that encoders compute in, and which of them a device has.

- ``float32``: within 1e-5 of what the package of an encoder computes.
- ``tf32``: convolutions and products of matrices round their inputs to 10 bits; CUDA
  alone has it.
- ``bfloat16``: convolutions and linear layers compute with 8 bits, all else in float32.
- ``auto`` is no precision but a choice among them, see
  `base_models.encoders.numerics.choice`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from base_models.errors import UsageError, one_of
from base_models.optional_libraries import LazyLibrary

if TYPE_CHECKING:
    import torch
else:
    torch = LazyLibrary("torch")

AUTO = "auto"
FLOAT32 = "float32"
BFLOAT16 = "bfloat16"
TF32 = "tf32"
PRECISIONS = (AUTO, FLOAT32, BFLOAT16, TF32)

IN_FLOAT32 = {"audio": FLOAT32, "text": FLOAT32}
"""The usual precision of each kind of encoder."""

_SIGNATURE_PARTS = {FLOAT32: "", BFLOAT16: "bf16", TF32: "tf32"}
_FIRST_WITH_TF32 = 8
"""Compute capability of the first CUDA devices that have it, and bfloat16 (Ampere)."""


def signature_part(precision: str) -> str:
    """What the signature of an encoder says of its precision; "" for float32.

    >>> signature_part("bfloat16")
    'bf16'
    """
    return _SIGNATURE_PARTS[precision]


def precision_of(kind: str, asked: str | Mapping[str, str]) -> str:
    """What is asked of the encoders of a kind, of one word for all or one for each.

    >>> precision_of("text", "tf32"), precision_of("text", {"audio": "tf32"})
    ('tf32', 'auto')
    """
    return asked if isinstance(asked, str) else asked.get(kind, AUTO)


def check_precision(precision: str, device: str) -> None:
    """Check that `precision` is one of `PRECISIONS` which `device` can compute in.

    Every device computes in bfloat16; one without instructions for it imitates it.

    Raises
    ------
    UsageError
        If it is none, or the device has no TF32.
    """
    one_of(precision, PRECISIONS, "precision")
    if precision == TF32 and not has_tf32(device):
        raise UsageError(
            f"The device '{device}' has no tf32, which CUDA devices since Ampere have; "
            "the precision float32 is the nearest to it."
        )


def has_tf32(device: str) -> bool:
    """Whether a device that is present multiplies in TF32."""
    kind = torch.device(device).type
    if kind != "cuda" or not torch.cuda.is_available():
        return False
    major, _ = torch.cuda.get_device_capability(device)
    return bool(major >= _FIRST_WITH_TF32)


def has_bfloat16(device: str) -> bool:
    """Whether a device that is present has instructions for bfloat16."""
    kind = torch.device(device).type
    if kind == "cuda":
        return torch.cuda.is_available() and has_tf32(device)
    if kind == "mps":
        return True
    abilities = torch.cpu.get_capabilities()
    names = ("amx_bf16", "avx512_bf16", "bf16")
    return any(abilities.get(name, False) for name in names)
