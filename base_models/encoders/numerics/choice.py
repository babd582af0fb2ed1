"""Which precision an encoder computes in, and the encoder that does."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from base_models.encoders.numerics.lowered import lower_layers
from base_models.encoders.numerics.parity import proven_parity
from base_models.encoders.numerics.winograd import use_winograd
from base_models.precision import AUTO, BFLOAT16, FLOAT32, TF32
from base_models.precision.names import has_bfloat16, has_tf32

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder

log = logging.getLogger(__name__)


def in_precision(encoder: Encoder, precision: str) -> Encoder:
    """An encoder in float32, made to compute in another precision, or faster in this.

    Parameters
    ----------
    encoder : Encoder
        Its module is changed in place.
    precision : str
        One of `base_models.precision.PRECISIONS` that its device has.
    """
    # Of such an encoder it is not known what its layers may do.
    if not encoder.mixed_precision:
        return encoder
    if precision == AUTO:
        precision = usual_precision(encoder)
    if precision == BFLOAT16:
        if not has_bfloat16(encoder.device):
            log.warning(
                "%s has no instructions for bfloat16: the encoder '%s' gives the same "
                "embeddings as elsewhere, but slower than in float32.",
                encoder.device,
                encoder.name,
            )
        lower_layers(encoder.module)
    # Other devices have kernels of their own for it.
    elif encoder.device == "cpu":
        use_winograd(encoder.module)
    return replace(encoder, precision=precision)


def usual_precision(encoder: Encoder) -> str:
    """What ``auto`` stands for: the fastest that an encoder has proved itself in.

    Returns
    -------
    precision : str
        TF32 where the device has it. On a processor with instructions for bfloat16
        that, where it makes the encoder enough faster and changes its embeddings little
        enough, see `base_models.encoders.numerics.parity`; else float32.
    """
    if has_tf32(encoder.device):
        return TF32
    if encoder.device != "cpu" or not has_bfloat16(encoder.device):
        return FLOAT32
    return BFLOAT16 if proven_parity(encoder).passes else FLOAT32
