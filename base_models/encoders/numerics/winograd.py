"""3 × 3 convolutions with a quarter of the multiplications, on a CPU.

Source: Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks", CVPR 2016:
the minimal filtering algorithm F(4 × 4, 3 × 3). A tile of 6 × 6 inputs is transformed,
multiplied with transformed weights in place of being convolved, and transformed back to
4 × 4 outputs: 36 multiplications in place of 144. In float32 the result differs from
that of a direct convolution by about 3e-6 of its size, three times more than the result
of a direct one from exact arithmetic does.
"""

from __future__ import annotations

from typing import TypeGuard

import torch
from torch import nn

OUT = 4
"""Outputs along an edge of a tile."""
TILE = OUT + 2
"""Inputs along an edge of a tile, which overlaps its neighbours by two."""
FEWEST_CHANNELS = 128
"""Of fewer, transforming costs more than the multiplications that it saves."""
TILES_AT_ONCE = 128
"""As many as keep what is between the transforms in the cache of a processor."""

# Along one dimension; see the paper, section 4.3, where they are B, G and A.
_OF_INPUTS = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
_OF_WEIGHTS = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
_OF_OUTPUTS = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)


class WinogradConv2d(nn.Module):
    """A 3 × 3 convolution of stride 1 and padding 1, computed by tiles.

    Parameters
    ----------
    convolution : torch.nn.Conv2d
        One that `can_replace` accepts; its weights are transformed here.

    Shape
    -----
    input (B, channels, H, W); output (B, channels out, H, W)
    """

    weights: torch.Tensor
    bias: torch.Tensor
    to_tiles: torch.Tensor
    from_tiles: torch.Tensor

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        of_weights = _matrix(_OF_WEIGHTS)
        weight = convolution.weight.detach().double()
        transformed = torch.einsum(
            "ij,kcjl,ml->imkc",
            of_weights,
            weight,
            of_weights,
        )
        bias = convolution.bias
        if bias is None:
            bias = weight.new_zeros(len(weight))
        self.register_buffer("weights", transformed.flatten(0, 1).float().contiguous())
        self.register_buffer("bias", bias.detach().float())
        # Both dimensions of a tile at once, as one product of matrices.
        self.register_buffer("to_tiles", _both_dimensions(_OF_INPUTS))
        self.register_buffer("from_tiles", _both_dimensions(_OF_OUTPUTS))

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        batch, _, height, width = input.shape
        n_rows = -(-height // OUT)
        n_columns = -(-width // OUT)

        # Zeros around the edges, and more where the last tiles reach beyond them.
        right = n_columns * OUT + 1 - width
        below = n_rows * OUT + 1 - height
        padded = nn.functional.pad(input, (1, right, 1, below))
        outputs = input.new_empty(
            (batch, len(self.bias), n_rows * OUT, n_columns * OUT)
        )

        rows_at_once = max(1, TILES_AT_ONCE // (batch * n_columns))
        for first in range(0, n_rows, rows_at_once):
            last = min(first + rows_at_once, n_rows)
            band = padded[:, :, first * OUT : last * OUT + 2]
            outputs[:, :, first * OUT : last * OUT] = self._convolve(band)
        return outputs[:, :, :height, :width]

    def _convolve(self, band: torch.Tensor) -> torch.Tensor:
        """Outputs of whole rows of tiles (B, channels, rows * 4 + 2, W + 2)."""
        tiles = band.unfold(2, TILE, OUT).unfold(3, TILE, OUT)
        batch, channels, rows, columns = tiles.shape[:4]

        # One place in all tiles stands together: (36, channels * B * rows * columns).
        by_place = tiles.permute(4, 5, 1, 0, 2, 3).reshape(TILE * TILE, -1)
        transformed = (self.to_tiles @ by_place).view(TILE * TILE, channels, -1)
        products = torch.bmm(self.weights, transformed)
        outputs = self.from_tiles @ products.flatten(1)

        outputs = outputs.view(OUT, OUT, -1, batch, rows, columns)
        biased = outputs + self.bias[:, None, None, None]
        in_order = biased.permute(3, 2, 4, 0, 5, 1)
        return in_order.reshape(batch, -1, rows * OUT, columns * OUT)


def use_winograd(module: nn.Module) -> None:
    """Replace the convolutions of a network that are quicker by tiles, in place.

    Devices other than a CPU have kernels of their own for it: nothing is replaced.
    """
    for name, part in list(module.named_children()):
        if can_replace(part):
            setattr(module, name, WinogradConv2d(part))
        else:
            use_winograd(part)


def can_replace(layer: nn.Module) -> TypeGuard[nn.Conv2d]:
    """Whether a layer is a convolution that `WinogradConv2d` computes, and quicker."""
    return (
        type(layer) is nn.Conv2d
        and layer.weight.device.type == "cpu"
        and layer.kernel_size == (3, 3)
        and layer.stride == layer.padding == layer.dilation == (1, 1)
        and layer.padding_mode == "zeros"
        and layer.groups == 1
        and min(layer.in_channels, layer.out_channels) >= FEWEST_CHANNELS
    )


def _matrix(rows: tuple[tuple[float, ...], ...]) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _both_dimensions(rows: tuple[tuple[float, ...], ...]) -> torch.Tensor:
    matrix = _matrix(rows)
    return torch.kron(matrix, matrix).float()
