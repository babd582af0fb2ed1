"""A Beta distribution on the rating scale as bins, differentiable in float32.

The mass of a bin is the share that `ScoreBins.split` gives it of ratings drawn from the
distribution, so predictions and single ratings become bins by one rule. Torch has no
differentiable incomplete beta function, so the integrals are sums over fixed nodes, in
logarithms throughout. The sums are normalised by themselves; no gamma function is
needed.

Notes
-----
With t the logit of the position x from 0 to 1 on the scale, ``dx = x (1 - x) dt``, so
that the density ``x^(a-1) (1-x)^(b-1)`` of x is ``x^a (1-x)^b`` of t.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
import torch.nn.functional as F
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from base_models.bins import ScoreBins
from base_models.networks.constant import Constant

PRECISION = (0.5, 1000.0)
"""Smallest and largest sum of the two shapes: nearly all mass at the two ends, and a
peak a third of a bin wide."""
MARGIN = 1e-3
"""How near the mean comes to an end, as a share of the scale."""
REACH = 12.0
"""Logit of the last node. Beyond it the density is a pure power to within 1 %, and
0.6 % of a bin's width is left."""

# Grid in the logit: half a logit is short beside the narrowest peak.
_GRID_REACH = 5
_GRID_POINTS = 21
# Gauss-Legendre nodes of each interval.
_NODES_PER_INTERVAL = 12


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
        log_weights = np.log(weights)

        # The two ends of the scale take part as nodes of their own (logits ±inf).
        logits = np.concatenate([[-np.inf], nodes, [np.inf]])
        odds_against = np.exp(-logits)
        scale_width = bins.high - bins.low
        scores = bins.low + scale_width / (1 + odds_against)

        # Shares of the bins at each node (nodes + 2, count). A share of 0 is -inf.
        shares = bins.split(scores)
        with np.errstate(divide="ignore"):
            log_shares = np.log(shares)

        self.nodes = Constant(torch.from_numpy(nodes))
        self.log_weights = Constant(torch.from_numpy(log_weights))
        self.log_shares = Constant(torch.from_numpy(log_shares))

    def shapes(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the two shapes of the distribution.

        The first one's share of their sum is the mean, the sum is the precision.

        Shape: raw (n, 2) → (n, 1) and (n, 1)
        """
        raw_mean = raw[:, :1]
        raw_precision = raw[:, 1:]

        # The margin keeps both shapes positive.
        span_of_mean = 1 - 2 * MARGIN
        mean = MARGIN + span_of_mean * raw_mean.sigmoid()

        # `start` makes a raw output of 0 the precision 2 of the uniform distribution:
        # it is the logit of that precision between the bounds, in logarithms.
        lowest, highest = PRECISION
        low, uniform, high = np.log((lowest, 2.0, highest))
        log_distance_below = np.log(uniform - low)
        log_distance_above = np.log(high - uniform)
        start = float(log_distance_below - log_distance_above)

        share_of_span = (raw_precision + start).sigmoid()
        log_precision = low + (high - low) * share_of_span
        precision = log_precision.exp()

        first = mean * precision
        second = (1 - mean) * precision
        return first, second

    def __call__(self, raw: Tensor) -> Tensor:
        """Compute the logarithms of the bins, in the precision of `raw`.

        Shape: raw (n, 2) → (n, bins.count)
        """
        nodes = self.nodes.like(raw)
        log_weights = self.log_weights.like(raw)
        log_shares = self.log_shares.like(raw)
        a, b = self.shapes(raw)

        # In the logit of the position the density is smooth, even where it is infinite
        # at an end of the scale: (n, nodes) from shapes (n, 1).
        log_position = F.logsigmoid(nodes)
        log_remainder = F.logsigmoid(-nodes)
        log_density = a * log_position + b * log_remainder
        within = log_density + log_weights

        # Beyond the last node the density falls like exp(-a |t|), whose integral is
        # exp(-a REACH) / a.
        left_tail = -REACH * a - a.log()
        right_tail = -REACH * b - b.log()

        # A bin's mass is the sum over the nodes of their mass times its share.
        all_masses = torch.cat([left_tail, within, right_tail], -1)
        log_masses = all_masses.log_softmax(-1)
        log_parts = log_masses.unsqueeze(-1) + log_shares
        return log_parts.logsumexp(-2)


def _quadrature(bins: ScoreBins) -> tuple[np.ndarray, np.ndarray]:
    """Nodes, in the logit of the position on the scale, and their weights.

    No interval reaches over a bin centre, where the shares have a kink, and none is
    long beside the narrowest peak.
    """
    scale_width = bins.high - bins.low
    kinks = (bins.centers - bins.low) / scale_width
    # Centres at the very ends of the scale have an infinite logit and split nothing.
    is_inside = (kinks > 0) & (kinks < 1)
    kinks = kinks[is_inside]
    kink_logits = np.log(kinks) - np.log1p(-kinks)

    grid = np.linspace(-_GRID_REACH, _GRID_REACH, _GRID_POINTS)
    breaks = np.union1d(kink_logits, [-REACH, *grid, REACH])

    nodes = []
    weights = []
    for start, end in pairwise(breaks):
        interval_nodes, interval_weights = _gauss_legendre(start, end)
        nodes.append(interval_nodes)
        weights.append(interval_weights)
    return np.concatenate(nodes), np.concatenate(weights)


def _gauss_legendre(
    start: float,
    end: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on an interval, both of shape (12,)."""
    # Those of the interval from -1 to 1, moved and stretched.
    unit_nodes, unit_weights = leggauss(_NODES_PER_INTERVAL)
    middle = (start + end) / 2
    half_length = (end - start) / 2
    nodes = middle + half_length * unit_nodes
    weights = half_length * unit_weights
    return nodes, weights
