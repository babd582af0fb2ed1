"""Output heads: from a pooled vector to the raw outputs of a criterion."""

from __future__ import annotations

from torch import nn


def mlp_head(
    dim: int,
    hidden: tuple[int, int],
    outputs: int,
    dropout: float,
    drop_last: bool = False,
) -> nn.Sequential:
    """Build two hidden ReLU layers and a linear output (DORA-MOS, section II.B).

    Sizes and dropout are those of the published code.

    Parameters
    ----------
    dim : int
        Width of the pooled vector.
    hidden : tuple of two int
        Widths of the hidden layers; the paper's are ``(dim / 2, dim / 4)``.
    outputs : int
        Raw outputs that the criterion needs.
    dropout : float
        Dropout after the first hidden layer.
    drop_last : bool
        Whether dropout also follows the second (as in the published CORAL head).

    Shape: (B, dim) → (B, outputs), raw: no softmax inside
    """
    # Layers are built in the order of the data flow, which is also the order in which
    # their initial weights are drawn.
    first, second = hidden
    layers: list[nn.Module] = [
        nn.Linear(dim, first),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(first, second),
        nn.ReLU(),
    ]
    if drop_last:
        layers.append(nn.Dropout(dropout))
    layers.append(nn.Linear(second, outputs))
    return nn.Sequential(*layers)


def linear_head(
    dim: int,
    hidden: tuple[int, int],
    outputs: int,
) -> nn.Sequential:
    """Build three linear layers with no activation between them.

    In effect this is one linear map; it is the form of the official CLAP baseline of
    MusicEval.

    Shape: (B, dim) → (B, outputs)
    """
    first, second = hidden
    return nn.Sequential(
        nn.Linear(dim, first),
        nn.Linear(first, second),
        nn.Linear(second, outputs),
    )


def output_layer(head: nn.Module) -> nn.Linear:
    """Return the linear layer that ends a head of this module."""
    *_, last = head.children()
    if not isinstance(last, nn.Linear):
        raise TypeError(
            f"A head must end in a linear layer; got {type(last).__name__}."
        )
    return last
