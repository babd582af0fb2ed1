"""Output heads: from a pooled vector to the raw outputs of a criterion."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from base_models.networks.dropout import Dropout


def mlp_head(
    dim: int,
    hidden: tuple[int, ...],
    outputs: int,
    dropout: float,
    drop_last: bool = False,
    shared_weight: bool = False,
) -> nn.Sequential:
    """Build hidden ReLU layers and a linear output (DORA-MOS, section II.B).

    Sizes and dropout are those of the published code, which has two hidden layers where
    the paper says "two-layer".

    Parameters
    ----------
    dim : int
        Width of the pooled vector.
    hidden : tuple of int
        Widths of the hidden layers; those of the published code are
        ``(dim / 2, dim / 4)``.
    outputs : int
        Raw outputs that the criterion needs.
    dropout : float
        Dropout after the first hidden layer.
    drop_last : bool
        Whether dropout also follows the last (as in the published CORAL head).
    shared_weight : bool
        Whether the output is a `CoralLayer`.

    Shape: (B, dim) → (B, outputs), raw: no softmax inside
    """
    # Layers are built in the order of the data flow, which is also the order in which
    # their initial weights are drawn.
    layers: list[nn.Module] = []
    width = dim
    for number, next_width in enumerate(hidden):
        layers.append(nn.Linear(width, next_width))
        layers.append(nn.ReLU())
        is_first = number == 0
        is_last = number == len(hidden) - 1
        if is_first or (is_last and drop_last):
            layers.append(Dropout(dropout))
        width = next_width

    layers.append(_output(width, outputs, shared_weight))
    return nn.Sequential(*layers)


def _output(
    dim: int,
    outputs: int,
    shared_weight: bool,
) -> nn.Module:
    if shared_weight:
        return CoralLayer(dim, outputs)
    return nn.Linear(dim, outputs)


class CoralLayer(nn.Module):
    """One weight vector for all outputs, and a free bias for each.

    The output layer of CORAL (Cao, Mirjalili and Raschka, 2020). The biases start at
    the log odds of equally likely ranks, so that an untrained head predicts near the
    middle of the scale; the form leaves their start open.

    Shape: (B, dim) → (B, outputs)
    """

    def __init__(self, dim: int, outputs: int) -> None:
        super().__init__()
        self.shared = nn.Linear(dim, 1, bias=False)
        # With K ranks a share k / K of the clips is below threshold k = 1 … K - 1.
        share_below = torch.arange(1, outputs + 1) / (outputs + 1)
        self.bias = nn.Parameter(-torch.logit(share_below))

    def forward(self, x: Tensor) -> Tensor:
        return self.shared(x) + self.bias


def linear_head(
    dim: int,
    hidden: tuple[int, int],
    outputs: int,
    shared_weight: bool = False,
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
        _output(second, outputs, shared_weight),
    )


def output_layer(head: nn.Module) -> nn.Linear:
    """Return the linear layer that ends a head of this module."""
    *_, last = head.children()
    if not isinstance(last, nn.Linear):
        raise TypeError(
            f"A head must end in a linear layer; got {type(last).__name__}."
        )
    return last
