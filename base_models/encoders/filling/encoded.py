"""What encoders give for prepared items, checked before it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from base_models.encoders.filling.prepared_items import named_failure
from base_models.errors import ClipError, UsageError

if TYPE_CHECKING:
    from base_models.encoders.base import Encoder


def encoded_alone(encoder: Encoder, array: np.ndarray) -> np.ndarray:
    """The embedding of a prepared item, shape (T, dim).

    Raises
    ------
    ClipError
        When the item cannot be used.
    UsageError
        When the encoder gives what is no embedding of its width.
    """
    with named_failure(encoder):
        embeddings = encoder.encode([array])
    check_shape(encoder, embeddings.shape, n_items=1)
    embedding: np.ndarray = embeddings[0]
    return check_finite(encoder, embedding)


def check_shape(
    encoder: Encoder,
    shape: tuple[int, ...],
    n_items: int,
) -> None:
    """Check the shape of embeddings: otherwise networks are built for another width.

    Raises
    ------
    UsageError
        When it is not ``(n_items, frames, encoder.dim)``.
    """
    if len(shape) != 3 or shape[0] != n_items or shape[2] != encoder.dim:
        raise UsageError(
            f"Encoder '{encoder.name}' gives embeddings of shape "
            f"{tuple(shape)}, not (clips, frames, {encoder.dim}) as its spec "
            "says; check_encoder lists what else is wrong with it."
        )


def check_finite(encoder: Encoder, embedding: np.ndarray) -> np.ndarray:
    """Return an embedding.

    Raises
    ------
    ClipError
        When it holds infinity or NaN.
    """
    if not np.isfinite(embedding).all():
        raise ClipError(f"its embedding by '{encoder.name}' is not finite")
    return embedding
