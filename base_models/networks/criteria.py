"""Training criteria: what a head's raw outputs mean, the loss on a score, and the distribution that they stand for.

The trap is to squash twice: every criterion takes raw outputs (logits), and the softmax or sigmoid is here alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from base_models.bins import SOFTEN_SIGMA, ScoreBins
from base_models.config import BaseConfig
from base_models.networks.beta_distribution import BetaBins


class Criterion(Protocol):
    """What training and prediction ask of a criterion.

    ``outputs`` is the number of raw outputs per aspect; ``sigma`` the kernel width that `ScoreBins.decode` needs for
    its distributions, 0 where nothing was softened. Those named in `config.RATING_CRITERIA` take a third argument in
    `loss`, the raters' histograms of shape (n, bins.count); they are NaN for a clip without single ratings.
    """

    outputs: int
    sigma: float

    def loss(self, logits: Tensor, scores: Tensor) -> Tensor:
        """Loss of each clip. Shape: (n, outputs), (n,) → (n,)."""

    def distribution(self, logits: Tensor) -> Tensor:
        """Bins of each clip, rows sum to 1. Shape: (n, outputs) → (n, bins.count), float64."""


def _exact(values: Tensor) -> Tensor:
    """The same numbers in float64 on the CPU; some accelerators have no float64."""
    return values.cpu().double()


class SoftBins:
    """Cross-entropy against Gaussian-softened targets (DORA-MOS, Eq. 1); it has the gradients of the KL divergence."""

    def __init__(self, bins: ScoreBins, sigma: float):
        self.bins, self.sigma, self.outputs = bins, sigma, bins.count

    def targets(self, scores: Tensor) -> Tensor:
        """Soft targets, shape (n,) → (n, bins.count)."""
        soft = self.bins.soften(_exact(scores).numpy(), self.sigma)
        return torch.from_numpy(soft).to(scores)

    def loss(self, logits: Tensor, scores: Tensor) -> Tensor:
        return -(self.targets(scores) * F.log_softmax(logits.float(), -1)).sum(-1)

    def distribution(self, logits: Tensor) -> Tensor:
        return _exact(logits).softmax(-1)


class NearestBin(SoftBins):
    """Cross-entropy against the nearest bin (DORA-MOS, Table I "CE Loss"; the published code took the bin below).

    A score midway between two bins puts half the mass on each, or rounding noise would choose: labels in steps of 0.2
    all lie there. So they decode to themselves, but for the ends of the scale, which decode to the outermost centres.
    """

    def __init__(self, bins: ScoreBins):
        super().__init__(bins, sigma=0.0)

    def targets(self, scores: Tensor) -> Tensor:
        distance = (
            _exact(scores).unsqueeze(-1) - torch.from_numpy(self.bins.centers)
        ).abs()
        tie = 1e-6 * (
            self.bins.high - self.bins.low
        )  # wider than the rounding of float32
        nearest = (distance <= distance.amin(-1, keepdim=True) + tie).double()
        return (nearest / nearest.sum(-1, keepdim=True)).to(scores)


class Scalar:
    """Absolute error of one output, counted from the middle of the scale (DORA-MOS, Table I "L1 Loss")."""

    outputs = 1
    sigma = SOFTEN_SIGMA

    def __init__(self, bins: ScoreBins):
        self.bins = bins

    def score(self, logits: Tensor) -> Tensor:
        """Predicted scores, shape (n, 1) → (n,)."""
        return logits.float().squeeze(-1) + (self.bins.low + self.bins.high) / 2

    def raw(self, score: float) -> float:
        """The raw output that stands for `score`: the inverse of `score`."""
        return score - (self.bins.low + self.bins.high) / 2

    def loss(self, logits: Tensor, scores: Tensor) -> Tensor:
        return (self.score(logits) - scores).abs()

    def distribution(self, logits: Tensor) -> Tensor:
        return torch.from_numpy(
            self.bins.soften(_exact(self.score(logits)).numpy(), self.sigma)
        )


class Huber(Scalar):
    """Huber's loss of one output: half the square of an error below 1 score point, linear beyond (WhisQ, Eq. 9; the
    paper leaves out the border, 1 is torch's)."""

    def loss(self, logits: Tensor, scores: Tensor) -> Tensor:
        return F.huber_loss(self.score(logits), scores, reduction="none")


class Coral:
    """Rank-consistent thresholds: P(score > t) for each threshold t, falling by construction (DORA-MOS, section II.C).

    The first logit is free, each next one lower by a softplus (as in the published code), so P never rises with t;
    all are shifted by a constant, so that an untrained head predicts the middle of the scale. The score is
    ``low + step · Σ P``. With ``ranks=0`` the thresholds are the bin centres: a MOS in steps of one bin width lies
    between two of them and decodes to itself. With ``ranks=5`` they are 1, 2, 3, 4 (published), and a perfect model
    predicts the next whole number above the MOS.
    """

    sigma = SOFTEN_SIGMA

    def __init__(self, bins: ScoreBins, ranks: int = 0):
        self.bins = bins
        self.step = (bins.high - bins.low) / (ranks - 1) if ranks else bins.width
        self.thresholds = (
            bins.low + self.step * torch.arange(ranks - 1, dtype=torch.float64)
            if ranks
            else torch.from_numpy(bins.centers)
        )
        self.outputs = len(self.thresholds)
        self.start = (
            math.log(2) * (self.outputs - 1) / 2
        )  # half of all the gaps of an untrained head

    def cumulative_logits(self, logits: Tensor) -> Tensor:
        """Logits of P(score > t), falling along the last axis. Shape: (n, outputs) → (n, outputs)."""
        first, gaps = (
            logits.float()[:, :1] + self.start,
            F.softplus(logits.float()[:, 1:]),
        )
        return torch.cat([first, first - gaps.cumsum(-1)], -1)

    def loss(self, logits: Tensor, scores: Tensor) -> Tensor:
        cumulative = self.cumulative_logits(logits)
        above = (_exact(scores).unsqueeze(-1) > self.thresholds).to(cumulative)
        return F.binary_cross_entropy_with_logits(
            cumulative, above, reduction="none"
        ).sum(-1)

    def score(self, logits: Tensor) -> Tensor:
        """Predicted scores, shape (n, outputs) → (n,), float64."""
        return self.bins.low + self.step * _exact(
            self.cumulative_logits(logits)
        ).sigmoid().sum(-1)

    def distribution(self, logits: Tensor) -> Tensor:
        return torch.from_numpy(
            self.bins.soften(self.score(logits).numpy(), self.sigma)
        )


class Histogram(SoftBins):
    """Cross-entropy against the histogram of a clip's raters (`ScoreBins.split`), so that disagreement is learnt.

    A clip without single ratings is learnt from its mean, Gaussian-softened: `spread` is that width. The loss is the
    mean over a clip's raters, or clips rated by many would weigh more than under the other criteria.
    """

    def __init__(self, bins: ScoreBins, spread: float):
        super().__init__(bins, sigma=0.0)
        self.spread = spread

    def targets(self, scores: Tensor, histograms: Tensor | None = None) -> Tensor:
        """What is learnt, shape (n,), (n, bins.count) or None → (n, bins.count)."""
        softened = torch.from_numpy(
            self.bins.soften(_exact(scores).numpy(), self.spread)
        ).to(scores)
        return (
            softened
            if histograms is None
            else torch.where(histograms.isnan(), softened, histograms)
        )

    def log_bins(self, logits: Tensor) -> Tensor:
        """Logarithms of the bins, shape (n, outputs) → (n, bins.count)."""
        return logits.log_softmax(-1)

    def loss(
        self, logits: Tensor, scores: Tensor, histograms: Tensor | None = None
    ) -> Tensor:
        return -(self.targets(scores, histograms) * self.log_bins(logits.float())).sum(
            -1
        )

    def distribution(self, logits: Tensor) -> Tensor:
        return self.log_bins(_exact(logits)).exp()


class Beta(Histogram):
    """Likelihood of the single ratings under a Beta distribution on the scale: two outputs, its mean and precision.

    A rating counts for the bins that it is split between, as in the histogram: it is known to a bin's width only, and
    the density itself is infinite or zero at the ends of the scale, where many ratings lie.
    """

    def __init__(self, bins: ScoreBins, spread: float):
        super().__init__(bins, spread)
        self.outputs, self.log_bins = 2, BetaBins(bins)


CRITERIA: dict[str, Callable[[BaseConfig], Criterion]] = {
    "gaussian": lambda config: SoftBins(config.bins, config.sigma),
    "ce": lambda config: NearestBin(config.bins),
    "l1": lambda config: Scalar(config.bins),
    "coral": lambda config: Coral(config.bins, config.coral_ranks),
    "huber": lambda config: Huber(config.bins),
    "histogram": lambda config: Histogram(config.bins, config.sigma),
    "beta": lambda config: Beta(config.bins, config.sigma),
}


def build_criterion(config: BaseConfig) -> Criterion:
    """The criterion that a config names."""
    return CRITERIA[config.criterion](config)
