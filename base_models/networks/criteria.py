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
from base_models.networks.constant import Constant


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

    def targets(self, scores: Tensor, histograms: Tensor | None = None) -> Tensor:
        """Compute what the outputs are compared with, clip by clip.

        They are computed once, and not at every step.

        Parameters
        ----------
        scores : float32 Tensor of shape (n,)
            On the CPU.
        histograms : Tensor of shape (n, bins.count), or None
            Of single ratings, NaN where a clip has none; None for a criterion that
            does not read them.

        Returns
        -------
        targets : float32 Tensor of shape (n,) or (n, …)
        """

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        """Loss of each clip. Shape: logits (n, outputs), targets (n, …) → (n,)."""

    def distribution(self, logits: Tensor) -> Tensor:
        """Bins of each clip: float64 on the CPU, rows sum to 1.

        Shape: logits (n, outputs) → (n, bins.count)
        """


@runtime_checkable
class Invertible(Protocol):
    """A criterion of one output, which can be computed from the score."""

    def raw(self, score: float) -> float:
        """Return the raw output that stands for `score`."""


@runtime_checkable
class RanksBatch(Protocol):
    """A criterion with a loss on the clips of a batch together."""

    def batch_loss(
        self,
        logits: Tensor,
        scores: Tensor,
        weights: Tensor,
    ) -> Tensor:
        """Loss of a batch; clips of weight 0 have no part in it.

        Shape: logits (n, outputs), scores (n,), weights (n,) → ()
        """


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

    def targets(self, scores: Tensor, histograms: Tensor | None = None) -> Tensor:
        """Soft targets. Shape: scores (n,) → (n, bins.count)."""
        return _soften(self.bins, scores, self.sigma).to(scores)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        # In float32, whatever the head computed in.
        log_likelihood = targets * self.log_bins(logits.float())
        return -log_likelihood.sum(-1)

    def log_bins(self, logits: Tensor) -> Tensor:
        """Logarithms of the bins. Shape: logits (n, outputs) → (n, bins.count)."""
        return logits.log_softmax(-1)

    def distribution(self, logits: Tensor) -> Tensor:
        return _exact(logits).softmax(-1)


class NearestBin(SoftBins):
    """Cross-entropy against one bin per label (DORA-MOS, Table I "CE Loss").

    That is the nearest bin, and the upper one for a score midway between two (rounding
    half up). The published code took the bin below.

    Notes
    -----
    Labels in steps of 0.2 all lie midway between two of 20 bins on 1..5, so the rule
    matters: half up, a perfect model predicts 0.1 more than the label and keeps all
    labels apart but the two highest, 4.8 and 5, while rounding half to even would merge
    them in pairs all along the scale. `TwoHot` keeps the label.
    """

    def __init__(self, bins: ScoreBins) -> None:
        super().__init__(bins, sigma=0.0)

    def is_nearest(self, scores: Tensor) -> Tensor:
        """Mark the nearest bin, or the two that are equally near.

        Shape: scores (n,) → (n, bins.count), bool on the CPU
        """
        # Distance of each score to each centre: (n, bins.count).
        centers = torch.from_numpy(self.bins.centers)
        exact_scores = _exact(scores).unsqueeze(-1)
        distance = (exact_scores - centers).abs()
        smallest = distance.amin(-1, keepdim=True)
        return distance <= smallest + _tolerance(self.bins)

    def targets(self, scores: Tensor, histograms: Tensor | None = None) -> Tensor:
        nearest = self.is_nearest(scores)
        # Of two neighbours the upper one has none marked above it.
        marked_from_here = nearest.flip(-1).cumsum(-1).flip(-1)
        uppermost = nearest & (marked_from_here == 1)
        return uppermost.to(scores)


class TwoHot(NearestBin):
    """Cross-entropy against the nearest bin, or half against each of two.

    A score midway between two bins puts half the mass on each, so scores in steps of
    0.2 decode to themselves, except at the ends of the scale, which decode to the
    outermost centres.
    """

    def targets(self, scores: Tensor, histograms: Tensor | None = None) -> Tensor:
        # One bin, or two that share the mass.
        nearest = self.is_nearest(scores).double()
        n_nearest = nearest.sum(-1, keepdim=True)
        shares = nearest / n_nearest
        return shares.to(scores)


def _tolerance(bins: ScoreBins) -> float:
    """How far from a border a score counts as on it, in score points.

    Rounding noise would otherwise choose a side. It is wider than the rounding of
    float32.
    """
    return 1e-6 * (bins.high - bins.low)


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

    def targets(self, scores: Tensor, histograms: Tensor | None = None) -> Tensor:
        """The scores themselves. Shape: (n,) → (n,)"""
        return scores

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        error = self.score(logits) - targets
        return error.abs()

    def distribution(self, logits: Tensor) -> Tensor:
        # A distribution, so that scalar criteria join a stack like all others.
        return _soften(self.bins, self.score(logits), self.sigma)


class Huber(Scalar):
    """Huber loss of one output (WhisQ, Eq. 9).

    Half the square of an error below 1 score point, linear beyond. The paper does not
    give the border; 1 is torch's default.
    """

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        return F.huber_loss(self.score(logits), targets, reduction="none")


class SquaredError(Scalar):
    """Squared error of one output."""

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        error = self.score(logits) - targets
        return error.square()


class Coral:
    """Rank-consistent thresholds: P(score > t) for each t (DORA-MOS, section II.C).

    The score is ``lowest + step · Σ P``. This is the form of the published code, where
    the gaps between neighbouring logits depend on the clip; `TextbookCoral` is that of
    the method's authors.

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
        self.lowest = bins.low

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

    def targets(self, scores: Tensor, histograms: Tensor | None = None) -> Tensor:
        """1 at each threshold below the score. Shape: scores (n,) → (n, outputs)"""
        return self.is_above(scores).to(scores)

    def loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        # One two-class problem per threshold: (n, outputs).
        losses = F.binary_cross_entropy_with_logits(
            self.cumulative_logits(logits), targets, reduction="none"
        )
        return losses.sum(-1)

    def is_above(self, scores: Tensor) -> Tensor:
        """Whether each score is above each threshold.

        Shape: scores (n,) → (n, outputs), bool on the CPU
        """
        # Scores are compared in float64, or a label on a threshold could fall on either
        # side of it.
        exact_scores = _exact(scores).unsqueeze(-1)
        return exact_scores > self.thresholds

    def score(self, logits: Tensor) -> Tensor:
        """Predicted scores in float64. Shape: logits (n, outputs) → (n,)."""
        cumulative = _exact(self.cumulative_logits(logits))
        steps_reached = cumulative.sigmoid().sum(-1)
        return self.lowest + self.step * steps_reached

    def distribution(self, logits: Tensor) -> Tensor:
        return _soften(self.bins, self.score(logits), self.sigma)


class TextbookCoral(Coral):
    """CORAL with the bins as ranks (Cao, Mirjalili and Raschka, "Rank Consistent
    Ordinal Regression for Neural Networks", 2020).

    One threshold lies midway between any two neighbouring bins: K - 1 = 19 for 20 bins.
    The logits are those of `base_models.networks.heads.CoralLayer`: one weight vector
    for all thresholds, and a free bias for each. A label on a threshold counts as above
    it, as in `NearestBin`.

    Parameters
    ----------
    bins : ScoreBins
        The rating scale.

    Notes
    -----
    A perfect model predicts the centre of the label's bin. That the biases fall from
    threshold to threshold is their theorem about the best fit and not a constraint.
    """

    def __init__(self, bins: ScoreBins) -> None:
        self.bins = bins
        self.step = bins.width
        self.lowest = float(bins.centers[0])
        centers = torch.from_numpy(bins.centers)
        self.thresholds = (centers[:-1] + centers[1:]) / 2
        self.outputs = len(self.thresholds)

    def cumulative_logits(self, logits: Tensor) -> Tensor:
        return logits.float()

    def is_above(self, scores: Tensor) -> Tensor:
        exact_scores = _exact(scores).unsqueeze(-1)
        return exact_scores >= self.thresholds - _tolerance(self.bins)


class Listwise(SoftBins):
    """The Gaussian loss, and a ranking of the clips of a batch against each other.

    `batch_loss` is that of ListNet (Z. Cao et al., "Learning to Rank", 2007): the
    softmax over a batch's predicted scores is to be the softmax over its labels. It is
    added for audio aspects only.

    Parameters
    ----------
    bins : ScoreBins
        The rating scale.
    sigma : float
        Width of the Gaussian targets, in score points.

    Notes
    -----
    After DeRA-MOS (arXiv 2606.10010), of which only facts of the abstract are known
    here: a listwise ranking loss over the batch for music impression. Which one, its
    temperature and its weight are unknown. ListNet is taken because ListMLE needs one
    true order, and labels in steps of 0.2 are often equal.
    """

    def __init__(self, bins: ScoreBins, sigma: float) -> None:
        super().__init__(bins, sigma)
        self.centers = Constant(torch.from_numpy(bins.centers))

    def expected(self, logits: Tensor) -> Tensor:
        """Mean score of the predicted bins. Shape: (n, bins.count) → (n,)."""
        bins = logits.float().softmax(-1)
        return bins @ self.centers.like(bins)

    def batch_loss(
        self,
        logits: Tensor,
        scores: Tensor,
        weights: Tensor,
    ) -> Tensor:
        """Kullback-Leibler divergence of the two softmaxes over the batch.

        A clip of weight 2 counts as if it stood in the batch twice, and one of weight 0
        as if it did not. With fewer than two clips there is nothing to rank: 0.

        Shape: logits (n, outputs), scores (n,), weights (n,) → ()
        """
        counted = weights > 0
        # The unit of the softmax is a quarter of the scale: a score point on 1..5.
        unit = (self.bins.high - self.bins.low) / 4
        true_scores = scores.float() / unit
        predicted_scores = self.expected(logits) / unit

        # A weight of 0 becomes a share of 0. Nothing here asks how many count, which
        # an accelerator would have to be waited for; where none does, all take part
        # in shares that are left out of the sum.
        log_weights = weights.log()
        log_weights = torch.where(
            counted.any(), log_weights, torch.zeros_like(log_weights)
        )

        # Shares of the clips, in logarithms; within one clip copies share alike.
        true_shares = (true_scores + log_weights).log_softmax(0)
        predicted_shares = (predicted_scores + log_weights).log_softmax(0)
        divergence = torch.where(counted, true_shares - predicted_shares, 0.0)
        return (true_shares.exp() * divergence).sum()


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
        return torch.where(histograms.isnan(), softened, histograms.to(scores))

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


def _coral(config: BaseConfig) -> Coral:
    if config.coral_form == "textbook":
        return TextbookCoral(config.bins)
    return Coral(config.bins, config.coral_ranks)


CRITERIA: dict[str, Callable[[BaseConfig], Criterion]] = {
    "gaussian": lambda config: SoftBins(config.bins, config.sigma),
    "ce": lambda config: NearestBin(config.bins),
    "two_hot": lambda config: TwoHot(config.bins),
    "l1": lambda config: Scalar(config.bins),
    "mse": lambda config: SquaredError(config.bins),
    "coral": _coral,
    "listwise": lambda config: Listwise(config.bins, config.sigma),
    "huber": lambda config: Huber(config.bins),
    "histogram": lambda config: Histogram(config.bins, config.sigma),
    "beta": lambda config: Beta(config.bins, config.sigma),
}


def build_criterion(config: BaseConfig) -> Criterion:
    """Build the criterion that a config names."""
    return CRITERIA[config.criterion](config)
