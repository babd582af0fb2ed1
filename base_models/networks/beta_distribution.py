"""A Beta distribution on the rating scale as bins, differentiable in float32.

The mass of a bin is the share that `ScoreBins.split` gives it of ratings drawn from the
distribution, so predictions and single ratings become bins by one rule. Torch has no
differentiable incomplete beta function, so the integrals are sums over fixed nodes, in
logarithms throughout. The sums are normalised by themselves; no gamma function is
needed.
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
"""Smallest and largest sum of the two shapes: nearly all mass at the two ends, and a
peak a third of a bin wide."""
MARGIN = 1e-3
"""How near the mean comes to an end, as a share of the scale."""
REACH = 12.0
"""Logit of the last node. Beyond it the density is a pure power to within 1 %, and
0.6 % of a bin's width is left."""


class BetaBins:
    """Map two raw outputs to the logarithms of bins.

    The first output is the logit of the mean; the second moves the logarithm of the
    precision between its bounds. Both maps are smooth, so that no output, however
    extreme, leaves the range that can be computed. Outputs of 0 give the uniform
    distribution, as those of a softmax do: an untrained head that was certain would
    learn in jumps.

    Parameters
    ----------
    bins : ScoreBins
        The rating scale.
    """

    def __init__(self, bins: ScoreBins) -> None:
        nodes, weights = _quadrature(bins)

        # The two ends of the scale take part as nodes of their own (logits ±inf).
        logits = np.concatenate([[-np.inf], nodes, [np.inf]])
        place = bins.low + (bins.high - bins.low) / (1 + np.exp(-logits))
        with np.errstate(divide="ignore"):
            log_shares = np.log(bins.split(place))

        self.nodes = torch.from_numpy(nodes)
        self.log_weights = torch.from_numpy(np.log(weights))
        self.log_shares = torch.from_numpy(log_shares)

    def shapes(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the two shapes of the distribution.

        The first one's share of their sum is the mean, the sum is the precision.

        Shape: raw (n, 2) → (n, 1) and (n, 1)
        """
        # The margin keeps both shapes positive.
        mean = MARGIN + (1 - 2 * MARGIN) * raw[:, :1].sigmoid()

        # `start` makes a raw output of 0 the precision 2 of the uniform distribution.
        low, uniform, high = np.log((PRECISION[0], 2.0, PRECISION[1]))
        start = float(np.log(uniform - low) - np.log(high - uniform))
        log_precision = low + (high - low) * (raw[:, 1:] + start).sigmoid()
        precision = log_precision.exp()

        return mean * precision, (1 - mean) * precision

    def __call__(self, raw: Tensor) -> Tensor:
        """Compute the logarithms of the bins, in the precision of `raw`.

        Shape: raw (n, 2) → (n, bins.count)
        """
        nodes = self.nodes.to(raw)
        log_weights = self.log_weights.to(raw)
        log_shares = self.log_shares.to(raw)
        a, b = self.shapes(raw)

        # In the logit of the position the density is smooth, even where it is infinite
        # at an end of the scale, and it falls like a power beyond the last node. That
        # tail has a closed form.
        log_position = F.logsigmoid(nodes)
        log_remainder = F.logsigmoid(-nodes)
        within = a * log_position + b * log_remainder + log_weights
        left_tail = -REACH * a - a.log()
        right_tail = -REACH * b - b.log()

        log_masses = torch.cat([left_tail, within, right_tail], -1).log_softmax(-1)
        return (log_masses.unsqueeze(-1) + log_shares).logsumexp(-2)


def _quadrature(bins: ScoreBins) -> tuple[np.ndarray, np.ndarray]:
    """Nodes, in the logit of the position on the scale, and their weights.

    No interval reaches over a bin centre, where the shares have a kink, and none is
    long beside the narrowest peak.
    """
    kinks = (bins.centers - bins.low) / (bins.high - bins.low)
    # Centres at the very ends of the scale have an infinite logit and split nothing.
    kinks = kinks[(kinks > 0) & (kinks < 1)]
    kink_logits = np.log(kinks) - np.log1p(-kinks)
    grid = [-REACH, *np.linspace(-5, 5, 21), REACH]
    breaks = np.union1d(kink_logits, grid)

    intervals = [_gauss_legendre(start, end) for start, end in pairwise(breaks)]
    nodes = np.concatenate([interval_nodes for interval_nodes, _ in intervals])
    weights = np.concatenate([interval_weights for _, interval_weights in intervals])
    return nodes, weights


def _gauss_legendre(
    start: float,
    end: float,
    count: int = 12,
) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on an interval, both of shape (count,)."""
    x, weights = leggauss(count)
    half = (end - start) / 2
    return (start + end) / 2 + half * x, half * weights
