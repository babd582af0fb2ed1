"""Which precision an encoder computes in, and the encoder that does."""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from base_models.encoders.numerics.lowered import lower_layers, round_layers
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
        One that its device has, or ``auto``, see `settled_precision`.
    """
    # Of such an encoder it is not known what its layers may do.
    if not encoder.mixed_precision:
        return encoder
    if precision == AUTO:
        precision = BFLOAT16 if proven_parity(encoder).passes else FLOAT32
    if precision == BFLOAT16:
        if has_bfloat16(encoder.device):
            lower_layers(encoder.module)
        else:
            log.warning(
                "%s has no instructions for bfloat16: the encoder '%s' rounds in "
                "float32 instead, and is not faster than without.",
                encoder.device,
                encoder.name,
            )
            round_layers(encoder.module)
    else:
        use_winograd(encoder.module)
    return replace(encoder, precision=precision)


def settled_precision(precision: str, device: str) -> str:
    """What ``auto`` stands for on a device, where no encoder must be measured for it.

    Returns
    -------
    precision : str
        As it is unless it is ``auto``. That is TF32 where the device has it, and
        float32 but on a processor with instructions for bfloat16: there it stays
        ``auto``, until an encoder has shown whether bfloat16 makes it enough faster and
        changes its embeddings little enough, see
        `base_models.encoders.numerics.parity`.
    """
    if precision != AUTO:
        return precision
    if has_tf32(device):
        return TF32
    on_processor = device == "cpu" and has_bfloat16(device)
    return AUTO if on_processor else FLOAT32
