"""Which precision an encoder computes in, and the encoder that does."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from base_models.precision import AUTO, BFLOAT16, FLOAT32, TF32
from base_models.precision.names import has_bfloat16, has_tf32

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder

log = logging.getLogger(__name__)


def in_precision(encoder: Encoder, precision: str) -> Encoder:
    """An encoder in float32, made to compute in another precision.

    Parameters
    ----------
    encoder : Encoder
        Its module is changed in place.
    precision : str
        One of `base_models.precision.PRECISIONS` that its device has.
    """
    if precision == AUTO:
        precision = TF32 if has_tf32(encoder.device) else FLOAT32
    if precision == BFLOAT16:
        from base_models.encoders.numerics.lowered import lower_layers

        if not has_bfloat16(encoder.device):
            log.warning(
                "%s has no instructions for bfloat16: the encoder '%s' gives the same "
                "embeddings as elsewhere, but slower than in float32.",
                encoder.device,
                encoder.name,
            )
        lower_layers(encoder.module)
    return replace(encoder, precision=precision)
