"""Output heads: a pooled vector in, the criterion's outputs out."""

from __future__ import annotations

from torch import nn


def mlp_head(
    dim: int,
    hidden: tuple[int, int],
    outputs: int,
    dropout: float,
    drop_last: bool = False,
) -> nn.Sequential:
    """Two hidden ReLU layers and a linear output (DORA-MOS, section II.B; sizes and dropout from the published code).

    Parameters
    ----------
    dim : int, width of the pooled vector
    hidden : widths of the hidden layers; the paper's are (dim / 2, dim / 4)
    outputs : int, what the criterion asks for
    dropout : float, after the first hidden layer
    drop_last : bool, also after the second (the published CORAL head)

    Shape: (B, dim) → (B, outputs), raw: no softmax inside
    """
    first, second = hidden
    tail = [nn.Dropout(dropout)] if drop_last else []
    return nn.Sequential(
        nn.Linear(dim, first),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(first, second),
        nn.ReLU(),
        *tail,
        nn.Linear(second, outputs),
    )


def linear_head(dim: int, hidden: tuple[int, int], outputs: int) -> nn.Sequential:
    """Three linear layers with nothing between them, as in the official baseline: in effect one linear map.

    Shape: (B, dim) → (B, outputs)
    """
    first, second = hidden
    return nn.Sequential(
        nn.Linear(dim, first), nn.Linear(first, second), nn.Linear(second, outputs)
    )
