"""Training criteria: what a head's raw outputs mean and how they are scored.

A criterion gives the loss on a score and the distribution that raw outputs stand for.
Every criterion takes raw outputs (logits); softmax and sigmoid are applied here and
nowhere else, so nothing is squashed twice.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor

from base_models.bins import SOFTEN_SIGMA, ScoreBins
from base_models.config import BaseConfig
from base_models.networks.beta_distribution import BetaBins


class Criterion(Protocol):
    """What training and prediction need of a criterion.

    Attributes
    ----------
    outputs : int
        Number of raw outputs per aspect.
    sigma : float
        Kernel width that `ScoreBins.decode` needs for the distributions; 0 where
        nothing was softened.
    """

    outputs: int
    sigma: float

    def loss(self, logits: Tensor, scores: Tensor) -> Tensor:
        """Loss of each clip. Shape: logits (n, outputs), scores (n,) → (n,)."""

    def distribution(self, logits: Tensor) -> Tensor:
        """Bins of each clip: float64 on the CPU, rows sum to 1.

        Shape: logits (n, outputs) → (n, bins.count)
        """


@runtime_checkable
class Invertible(Protocol):
    """A criterion of one output, which can be computed from the score."""

    def raw(self, score: float) -> float:
        """Return the raw output that stands for `score`."""


def _exact(values: Tensor) -> Tensor:
    """Copy to float64 on the CPU; some accelerators have no float64."""
    return values.cpu().double()


def _soften(
    bins: ScoreBins,
    scores: Tensor,
    sigma: float,
) -> Tensor:
    """Gaussian-softened scores: (n,) → (n, bins.count), float64 on the CPU."""
    exact_scores = _exact(scores).numpy()
    return torch.from_numpy(bins.soften(exact_scores, sigma))


class SoftBins:
    """Cross-entropy against Gaussian-softened targets (DORA-MOS, Eq. 1).

    It has the gradients of the KL divergence.

    Parameters
    ----------
    bins : ScoreBins
        The rating scale.
    sigma : float
        Width of the targets, in score points.
    """

    def __init__(self, bins: ScoreBins, sigma: float) -> None:
        self.bins = bins
        self.sigma = sigma
        self.outputs = bins.count

    def targets(self, scores: Tensor) -> Tensor:
        """Soft targets. Shape: scores (n,) → (n, bins.count)."""
        return _soften(self.bins, scores, self.sigma).to(scores)

    def loss(self, logits: Tensor, scores: Tensor) -> Tensor:
        # In float32, whatever the head computed in.
        log_bins = F.log_softmax(logits.float(), -1)
        log_likelihood = self.targets(scores) * log_bins
        return -log_likelihood.sum(-1)

    def distribution(self, logits: Tensor) -> Tensor:
        return _exact(logits).softmax(-1)


class NearestBin(SoftBins):
    """Cross-entropy against the nearest bin (DORA-MOS, Table I "CE Loss").

    A score midway between two bins puts half the mass on each, so scores in steps of
    0.2 decode to themselves, except at the ends of the scale, which decode to the
    outermost centres. The published code took the bin below.
    """

    def __init__(self, bins: ScoreBins) -> None:
        super().__init__(bins, sigma=0.0)

    def targets(self, scores: Tensor) -> Tensor:
        # Distance of each score to each centre: (n, bins.count).
        centers = torch.from_numpy(self.bins.centers)
        exact_scores = _exact(scores).unsqueeze(-1)
        distance = (exact_scores - centers).abs()
        smallest = distance.amin(-1, keepdim=True)

        # Labels in steps of 0.2 all lie midway between two bins, and rounding noise
        # would choose one. The tolerance is wider than the rounding of float32.
        scale_width = self.bins.high - self.bins.low
        tolerance = 1e-6 * scale_width
        is_nearest = distance <= smallest + tolerance

        # One bin, or two that share the mass.
        nearest = is_nearest.double()
        n_nearest = nearest.sum(-1, keepdim=True)
        shares = nearest / n_nearest
        return shares.to(scores)


class Scalar:
    """Absolute error of one output (DORA-MOS, Table I "L1 Loss").

    The output is counted from the middle of the scale.

    Parameters
    ----------
    bins : ScoreBins
        The rating scale.
    """

    outputs = 1
    sigma = SOFTEN_SIGMA

    def __init__(self, bins: ScoreBins) -> None:
        self.bins = bins
        self.middle = (bins.low + bins.high) / 2

    def score(self, logits: Tensor) -> Tensor:
        """Predicted scores. Shape: logits (n, 1) → (n,)."""
        return logits.float().squeeze(-1) + self.middle

    def raw(self, score: float) -> float:
        """Return the raw output that stands for `score`; the inverse of `score`."""
        return score - self.middle

    def loss(self, logits: Tensor, scores: Tensor) -> Tensor:
        error = self.score(logits) - scores
        return error.abs()

    def distribution(self, logits: Tensor) -> Tensor:
        # A distribution, so that scalar criteria join a stack like all others.
        return _soften(self.bins, self.score(logits), self.sigma)


class Huber(Scalar):
    """Huber loss of one output (WhisQ, Eq. 9).

    Half the square of an error below 1 score point, linear beyond. The paper does not
    give the border; 1 is torch's default.
    """

    def loss(self, logits: Tensor, scores: Tensor) -> Tensor:
        return F.huber_loss(self.score(logits), scores, reduction="none")


class Coral:
    """Rank-consistent thresholds: P(score > t) for each t (DORA-MOS, section II.C).

    The score is ``low + step · Σ P``.

    Parameters
    ----------
    bins : ScoreBins
        The rating scale.
    ranks : int
        With 0 the thresholds are the bin centres: a MOS in steps of one bin width lies
        between two of them and decodes to itself. With 5 they are 1, 2, 3, 4 as
        published, and a perfect model predicts the next whole number above the MOS.
    """

    sigma = SOFTEN_SIGMA

    def __init__(self, bins: ScoreBins, ranks: int = 0) -> None:
        self.bins = bins
        if ranks:
            # The lowest rank needs no threshold: every score reaches it.
            n_thresholds = ranks - 1
            scale_width = bins.high - bins.low
            self.step = scale_width / n_thresholds
            steps = torch.arange(n_thresholds, dtype=torch.float64)
            self.thresholds = bins.low + self.step * steps
        else:
            self.step = bins.width
            self.thresholds = torch.from_numpy(bins.centers)
        self.outputs = len(self.thresholds)

        # Half the sum of the gaps of an untrained head, which are softplus(0) = log 2
        # each: with this shift such a head predicts the middle of the scale.
        n_gaps = self.outputs - 1
        self.start = math.log(2) * n_gaps / 2

    def cumulative_logits(self, logits: Tensor) -> Tensor:
        """Logits of P(score > t), which never rise along the last axis.

        Shape: logits (n, outputs) → (n, outputs)
        """
        # The first logit is free, each next one is lower by a softplus, as in the
        # published code.
        raw = logits.float()
        first = raw[:, :1] + self.start
        gaps = F.softplus(raw[:, 1:])
        others = first - gaps.cumsum(-1)
        return torch.cat([first, others], -1)

    def loss(self, logits: Tensor, scores: Tensor) -> Tensor:
        # Scores are compared in float64, or a label on a threshold could fall on either
        # side of it.
        exact_scores = _exact(scores).unsqueeze(-1)
        is_above = exact_scores > self.thresholds

        # One two-class problem per threshold: (n, outputs).
        cumulative = self.cumulative_logits(logits)
        losses = F.binary_cross_entropy_with_logits(
            cumulative,
            is_above.to(cumulative),
            reduction="none",
        )
        return losses.sum(-1)

    def score(self, logits: Tensor) -> Tensor:
        """Predicted scores in float64. Shape: logits (n, outputs) → (n,)."""
        cumulative = _exact(self.cumulative_logits(logits))
        steps_reached = cumulative.sigmoid().sum(-1)
        return self.bins.low + self.step * steps_reached

    def distribution(self, logits: Tensor) -> Tensor:
        return _soften(self.bins, self.score(logits), self.sigma)


class Histogram(SoftBins):
    """Cross-entropy against the histogram of a clip's raters (`ScoreBins.split`).

    Disagreement between raters is learnt too. A clip without single ratings is learnt
    from its mean, Gaussian-softened.

    Parameters
    ----------
    bins : ScoreBins
        The rating scale.
    spread : float
        Width of the softened means, in score points.

    Notes
    -----
    The loss is the mean over a clip's raters. As a sum, clips with many raters would
    weigh more than under the other criteria.
    """

    def __init__(self, bins: ScoreBins, spread: float) -> None:
        super().__init__(bins, sigma=0.0)
        self.spread = spread

    def targets(self, scores: Tensor, histograms: Tensor | None = None) -> Tensor:
        """Histograms where there are any, else softened scores.

        Parameters
        ----------
        scores : Tensor of shape (n,)
        histograms : Tensor of shape (n, bins.count), or None
            Rows are NaN for a clip without single ratings.

        Returns
        -------
        targets : Tensor of shape (n, bins.count)
        """
        softened = _soften(self.bins, scores, self.spread).to(scores)
        if histograms is None:
            return softened
        return torch.where(histograms.isnan(), softened, histograms)

    def log_bins(self, logits: Tensor) -> Tensor:
        """Logarithms of the bins. Shape: logits (n, outputs) → (n, bins.count)."""
        return logits.log_softmax(-1)

    def loss(
        self,
        logits: Tensor,
        scores: Tensor,
        histograms: Tensor | None = None,
    ) -> Tensor:
        targets = self.targets(scores, histograms)
        log_likelihood = targets * self.log_bins(logits.float())
        return -log_likelihood.sum(-1)

    def distribution(self, logits: Tensor) -> Tensor:
        return self.log_bins(_exact(logits)).exp()


class Beta(Histogram):
    """Likelihood of the single ratings under a Beta distribution on the scale.

    Its two outputs are the mean and the precision of the distribution.

    Notes
    -----
    As in the histogram, a rating counts for the two bins that it is split between: it
    is known to a bin's width only. The density itself is infinite or zero at the ends
    of the scale, where many ratings lie.
    """

    def __init__(self, bins: ScoreBins, spread: float) -> None:
        super().__init__(bins, spread)
        self.outputs = 2
        self.beta_bins = BetaBins(bins)

    def log_bins(self, logits: Tensor) -> Tensor:
        return self.beta_bins(logits)


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
    """Build the criterion that a config names."""
    return CRITERIA[config.criterion](config)
