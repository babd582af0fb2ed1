"""Precision of what encoders compute: its names, what a device has, and torch's modes.

Read `names` first; `modes` sets torch, and needs it.
"""

from base_models.precision.names import (
    AUTO,
    BFLOAT16,
    FLOAT32,
    IN_FLOAT32,
    PRECISIONS,
    TF32,
    check_precision,
    precision_of,
    signature_part,
)

__all__ = [
    "AUTO",
    "BFLOAT16",
    "FLOAT32",
    "IN_FLOAT32",
    "PRECISIONS",
    "TF32",
    "check_precision",
    "precision_of",
    "signature_part",
]
