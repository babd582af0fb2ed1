"""A Beta distribution on the rating scale as bins, differentiable and stable in float32.

The mass of a bin is the share that `ScoreBins.split` gives it of ratings drawn from the distribution, so predictions
and single ratings become bins by one rule. Torch has no differentiable incomplete beta function, so the integrals are
sums over fixed nodes, in logarithms throughout. The trap is the ends of the scale, where the density may be infinite:
there the nodes are laid in the logit of the position, in which it is smooth and falls like a power that has a closed
form beyond the last node. The sums are normalised by themselves; no gamma function is needed.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from base_models.bins import ScoreBins

PRECISION = (0.5, 1000.0)
"""Smallest and largest sum of the two shapes: all but two camps at the ends, and a third of a bin wide."""
MARGIN = 1e-3
"""How near the mean comes to an end, as a share of the scale."""
REACH = 12.0
"""Logit of the last node; beyond it the density is a pure power to within 1 %, where 0.6 % of a bin's width is left."""


class BetaBins:
    """Two raw outputs to the logarithms of bins.

    The first output is the logit of the mean, the second moves the logarithm of the precision between its bounds, both
    of them smoothly, so that no output, however extreme, leads out of what can be computed. Outputs of 0 are the
    uniform distribution, as those of a softmax are: an untrained head that was sure of itself would learn in leaps.
    """

    def __init__(self, bins: ScoreBins):
        # no interval of nodes reaches over a kink of the shares, and none is long beside the narrowest peak
        kinks = (bins.centers - bins.low) / (bins.high - bins.low)
        kinks = kinks[(kinks > 0) & (kinks < 1)]
        breaks = np.union1d(
            np.log(kinks) - np.log1p(-kinks), [-REACH, *np.linspace(-5, 5, 21), REACH]
        )
        pieces = [_nodes(start, end) for start, end in pairwise(breaks)]
        nodes, weights = map(np.concatenate, zip(*pieces, strict=True))
        place = bins.low + (bins.high - bins.low) / (
            1 + np.exp(-np.concatenate([[-np.inf], nodes, [np.inf]]))
        )
        with np.errstate(divide="ignore"):
            shares = np.log(bins.split(place))
        self.nodes, self.log_weights, self.log_shares = map(
            torch.from_numpy, (nodes, np.log(weights), shares)
        )

    def shapes(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Both shapes of the distribution, (n, 2) → twice (n, 1); their share is the mean, their sum the precision."""
        mean = MARGIN + (1 - 2 * MARGIN) * raw[:, :1].sigmoid()
        low, uniform, high = np.log((PRECISION[0], 2.0, PRECISION[1]))
        start = float(np.log(uniform - low) - np.log(high - uniform))
        precision = (low + (high - low) * (raw[:, 1:] + start).sigmoid()).exp()
        return mean * precision, (1 - mean) * precision

    def __call__(self, raw: Tensor) -> Tensor:
        """Logarithms of the bins, shape (n, 2) → (n, bins.count), in the precision of `raw`."""
        nodes, log_weights, log_shares = (
            fixed.to(raw) for fixed in (self.nodes, self.log_weights, self.log_shares)
        )
        a, b = self.shapes(raw)
        within = a * F.logsigmoid(nodes) + b * F.logsigmoid(-nodes) + log_weights
        left, right = (-REACH * shape - shape.log() for shape in (a, b))
        masses = torch.cat([left, within, right], -1).log_softmax(-1)
        return (masses.unsqueeze(-1) + log_shares).logsumexp(-2)


def _nodes(start: float, end: float, count: int = 12) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on an interval, both (count,)."""
    x, weights = leggauss(count)
    return (start + end) / 2 + (end - start) / 2 * x, (end - start) / 2 * weights
