"""Means of systems from the ratings of some of their clips, and how sure they are.

The estimate of a system is the mean rating of its n rated clips, moved by what their
predictions differ from those of all its N clips::

    mean = mean_n(y) + slope * (mean_N(f) - mean_n(f))

With slope = 0 it is the mean of the ratings alone. The slope with the least variance is
that of the regression of ratings on predictions within systems, one for all systems, so
that few ratings of each suffice. This is prediction-powered inference: PPI++'s power
tuning parameter is ``slope * (1 - n / N)``, with the N - n unrated clips as its
unlabelled ones. Whatever the predictions are, the estimate is valid; good ones make it
sharp.

Sources: A. N. Angelopoulos, J. C. Duchi and T. Zrnic, PPI++: efficient
prediction-powered inference, arXiv 2311.01453 (2023); W. G. Cochran, Sampling
Techniques (1977), sections 7.8 and 12.6 (regression estimators in two-phase sampling).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse
from scipy.special import stdtr, stdtrit

from meta.powered_means.moderated_variances import moderated
from meta.powered_means.rated_sample import RatedSample
from meta.powered_means.variance_components import VarianceComponents

POPULATIONS = ("system", "clips")
"""What a mean is of: clips of the system in general, or exactly those predicted."""

_LEAST_FREEDOM = 5.0
"""Residual degrees of freedom below which no slope is estimated."""

_GREATEST_PROMPT_SHARE = 0.95
"""So that a difference of two systems never becomes certain."""


@dataclass(frozen=True, eq=False)
class Slope:
    """What predictions are multiplied with.

    Parameters
    ----------
    value : least squares slope within systems, at least 0: a prediction that opposes
        the ratings is not used
    loads : array of shape (S,), its variance per clip variance of each system; empty
        where it is not used
    raw : the same before it was cut at 0; NaN where it cannot be estimated
    correlation : of mean ratings and predictions within systems, NaN likewise
    """

    value: float = 0.0
    loads: np.ndarray = field(default_factory=lambda: np.zeros(0))
    raw: float = np.nan
    correlation: float = np.nan


@dataclass(frozen=True)
class Estimate:
    """A number with its standard deviation and the degrees of freedom of that."""

    value: float
    deviation: float
    freedom: float

    def interval(self, level: float) -> tuple[float, float]:
        """Student's t interval; NaN where the deviation is not known."""
        if not np.isfinite(self.deviation):
            return np.nan, np.nan
        half = stdtrit(max(self.freedom, 1.0), (1 + level) / 2) * self.deviation
        return self.value - half, self.value + half

    @property
    def p_value(self) -> float:
        """Two-sided, that the true value is 0; NaN where the deviation is not known."""
        if not self.deviation > 0:
            return np.nan
        statistic = abs(self.value) / self.deviation
        return float(2 * stdtr(max(self.freedom, 1.0), -statistic))


@dataclass(frozen=True, eq=False)
class SystemEstimates:
    """Means of S systems with everything that their variances are made of.

    Parameters
    ----------
    means : array of shape (S,), NaN where no clip of a system is rated
    slope : what predictions were multiplied with
    components : of the variance of single ratings
    clip_variances : array of shape (S,), variance of a clip's mean rating around the
        regression
    clip_freedom : its degrees of freedom
    residual_freedom : of all systems together
    clip_parts : array of shape (S,), variances of the means: which clips were rated
    prompt_covariance : array of shape (S, S): clips of the same prompts were rated
    prompt_freedom : of the part before
    lever : array of shape (S,), mean prediction of all clips minus that of the rated
    prediction_covariance : array of shape (S, S): which clips there are at all
    prediction_freedom : of the part before
    rater_covariance : array of shape (S, S): who the raters were
    rater_freedom : of the part before
    """

    means: np.ndarray
    slope: Slope
    components: VarianceComponents
    clip_variances: np.ndarray
    clip_freedom: np.ndarray
    residual_freedom: float
    clip_parts: np.ndarray
    prompt_covariance: np.ndarray
    prompt_freedom: float
    lever: np.ndarray
    prediction_covariance: np.ndarray
    prediction_freedom: float
    rater_covariance: np.ndarray
    rater_freedom: float

    @classmethod
    def fit(cls, sample: RatedSample, slope: Slope, population: str) -> SystemEstimates:
        """Estimate the means.

        Parameters
        ----------
        sample : RatedSample
        slope : Slope
            `fitted_slope`, or ``Slope()`` for the ratings alone.
        population : one of `POPULATIONS`
        """
        predicted = slope.value * sample.predictions
        of_all = sample.system_means(predicted, np.ones(len(predicted)))
        of_rated = sample.system_means(predicted, sample.is_rated)
        means = sample.system_means(sample.clip_means, sample.is_rated)
        lever = np.zeros(sample.n_systems)
        if slope.value > 0:
            lever = np.nan_to_num(of_all - of_rated) / slope.value

        components = VarianceComponents.fit(sample, slope.value)
        sums, own_freedom = _residual_squares(sample, slope)
        variances, freedom = moderated(sums, own_freedom)
        is_finite = population == "clips"
        prediction_covariance = np.zeros((sample.n_systems, sample.n_systems))
        if not is_finite and slope.value > 0:
            prediction_covariance = _prediction_covariance(sample, predicted)
        return cls(
            means=means + slope.value * lever,
            slope=slope,
            components=components,
            clip_variances=variances,
            clip_freedom=freedom,
            residual_freedom=float(own_freedom.sum()),
            clip_parts=_clip_parts(sample, components, variances, is_finite=is_finite),
            prompt_covariance=_prompt_covariance(
                sample, components, variances, is_finite=is_finite
            ),
            prompt_freedom=_prompt_freedom(sample, components),
            lever=lever,
            prediction_covariance=prediction_covariance,
            prediction_freedom=float(max(len(predicted) - sample.n_systems, 1)),
            rater_covariance=_rater_covariance(sample, components),
            rater_freedom=_rater_freedom(sample, components),
        )

    def contrast(self, weights: np.ndarray) -> Estimate:
        """The weighted sum of the means.

        Parameters
        ----------
        weights : array of shape (S,)
            0 for systems that it is not about, among them all that have no mean.
        """
        used = weights != 0
        value = float(weights[used] @ self.means[used])
        rated = self._rated_part(weights)
        parts = [
            rated,
            (_quadratic(self.prompt_covariance, weights), self.prompt_freedom),
            (_quadratic(self.prediction_covariance, weights), self.prediction_freedom),
            (_quadratic(self.rater_covariance, weights), self.rater_freedom),
        ]

        # Satterthwaite's degrees of freedom of a sum of independent variances. Prompts
        # that both systems of a difference were rated on make it more certain.
        variance = sum(part for part, _ in parts)
        variance = max(variance, (1 - _GREATEST_PROMPT_SHARE) * rated[0])
        weight = sum(part**2 / max(freedom, 1.0) for part, freedom in parts)
        return Estimate(
            value=value,
            deviation=float(np.sqrt(variance)),
            freedom=float(variance**2 / weight) if weight > 0 else 1.0,
        )

    def _slope_parts(self) -> np.ndarray:
        """What the scatter of each system adds to the variance of the slope."""
        # A system with one rated clip tells nothing of the slope, and may lack one.
        loads = self.slope.loads
        return np.where(loads > 0, loads * self.clip_variances, 0.0)

    def slope_deviation(self) -> float:
        """Standard deviation of the slope; 0 where none is used."""
        if not len(self.slope.loads):
            return 0.0
        return float(np.sqrt(np.sum(self._slope_parts())))

    def _rated_part(self, weights: np.ndarray) -> tuple[float, float]:
        """The variance that the choice of rated clips brings, and its freedom."""
        used = weights != 0
        own = np.zeros(len(weights))
        own[used] = weights[used] ** 2 * self.clip_parts[used]
        if len(self.slope.loads):
            # The slope is as uncertain as its clips are scattered.
            lever = float(weights[used] @ self.lever[used])
            own = own + lever**2 * self._slope_parts()

        has_part = own > 0
        squares = own[has_part] ** 2 / np.maximum(self.clip_freedom[has_part], 1e-9)
        total = float(own.sum())
        if not has_part.any():
            return total, self.residual_freedom
        # Variances that lean on one another know no more than all of them together.
        return total, min(total**2 / float(squares.sum()), self.residual_freedom)


def _quadratic(covariance: np.ndarray, weights: np.ndarray) -> float:
    used = weights != 0
    return float(weights[used] @ covariance[np.ix_(used, used)] @ weights[used])


def powered_estimates(sample: RatedSample, population: str) -> SystemEstimates:
    """Means of systems from ratings and predictions, see `SystemEstimates.fit`."""
    slope = fitted_slope(sample)
    if sample.is_rated.all():
        # Nothing is left to predict.
        slope = replace(slope, value=0.0, loads=np.zeros(0))
    return SystemEstimates.fit(sample, slope, population)


def fitted_slope(sample: RatedSample) -> Slope:
    """The slope of mean ratings on predictions within systems."""
    centred, ratings = _centred(sample)
    squares = float(np.sum(centred**2))
    n_used = sample.rated_per_system[sample.rated_per_system > 0]
    freedom = float(np.sum(n_used - 1) - 1)
    largest = float(np.abs(sample.predictions).max(initial=0.0))
    if freedom < _LEAST_FREEDOM or squares <= (1e-9 * max(1.0, largest)) ** 2:
        return Slope()

    raw = float(np.sum(centred * ratings)) / squares
    norm = np.sqrt(squares * np.sum(ratings**2))
    correlation = float(np.sum(centred * ratings) / norm) if norm > 0 else np.nan
    if raw <= 0:
        return Slope(raw=raw, correlation=correlation)

    loads = _sums(sample, centred**2) / squares**2
    return Slope(value=raw, loads=loads, raw=raw, correlation=correlation)


def _centred(sample: RatedSample) -> tuple[np.ndarray, np.ndarray]:
    """Predictions and mean ratings minus those of the rated clips of the system."""
    rated = sample.is_rated
    system = sample.system[rated]
    pair = []
    for values in (sample.predictions, sample.clip_means):
        means = sample.system_means(values, rated)
        pair.append(values[rated] - means[system])
    return pair[0], pair[1]


def _sums(sample: RatedSample, values: np.ndarray) -> np.ndarray:
    """Sums over the rated clips of each system of an array over the rated clips."""
    system = sample.system[sample.is_rated]
    return np.bincount(system, weights=values, minlength=sample.n_systems)


def _residual_squares(
    sample: RatedSample, slope: Slope
) -> tuple[np.ndarray, np.ndarray]:
    """Sums of squares around the regression and their freedom, per system."""
    centred, ratings = _centred(sample)
    sums = _sums(sample, (ratings - slope.value * centred) ** 2)
    freedom = np.maximum(sample.rated_per_system - 1, 0).astype(float)
    if slope.value > 0:
        # Each system pays for the slope by what it tells of it.
        squares = _sums(sample, centred**2)
        freedom = np.maximum(freedom - squares / squares.sum(), 0.0)
    freedom[freedom < 1e-6] = 0.0
    return sums, freedom


# ---- covariances of the means


def _ratings_per_rated_clip(sample: RatedSample) -> float:
    return float(np.mean(sample.ratings_per_clip[sample.is_rated]))


def _clip_parts(
    sample: RatedSample,
    components: VarianceComponents,
    variances: np.ndarray,
    *,
    is_finite: bool,
) -> np.ndarray:
    """Variances of the means through which clips were rated."""
    parts = variances / np.maximum(sample.rated_per_system, 1)
    if is_finite:
        # What is rated is known but for the noise of its ratings.
        share = components.clip_share(_ratings_per_rated_clip(sample))
        parts = parts - share * variances / sample.clips_per_system
    return parts


def _prompt_covariance(
    sample: RatedSample,
    components: VarianceComponents,
    variances: np.ndarray,
    *,
    is_finite: bool,
) -> np.ndarray:
    """Covariance of the means through which prompts were rated."""
    share = components.prompt_share(_ratings_per_rated_clip(sample))
    share = min(share, _GREATEST_PROMPT_SHARE)
    if share <= 0:
        return np.zeros((sample.n_systems, sample.n_systems))
    counts = np.maximum(sample.rated_per_system, 1)
    weights = np.where(sample.is_rated, 1.0 / counts[sample.system], 0.0)
    if is_finite:
        weights = weights - 1.0 / sample.clips_per_system[sample.system]

    overlap = _products(sample, weights)
    # Clips of one system that share a prompt scatter less than they err.
    pairs = (np.diag(overlap) - 1 / counts) * counts / np.maximum(counts - 1, 1)
    np.fill_diagonal(overlap, 0.0 if is_finite else pairs)
    deviations = np.sqrt(variances)
    return share * overlap * np.outer(deviations, deviations)


def _prompt_freedom(sample: RatedSample, components: VarianceComponents) -> float:
    """Degrees of freedom of the variance of prompts."""
    if components.prompt <= 0:
        return np.inf
    rated = sample.prompt_or_clip[sample.is_rated]
    rest = components.of_raters + components.error + (components.clip or 0.0)
    return _freedom_of_groups(
        components.prompt, rest, len(np.unique(rated)), len(sample.ratings)
    )


def _freedom_of_groups(
    variance: float, rest: float, n_groups: int, n_ratings: int
) -> float:
    """Degrees of freedom of a variance between groups of ratings, at least 1.

    It is the variance of the means of the groups minus that of their noise
    (Satterthwaite).
    """
    share = variance / (variance + rest * n_groups / n_ratings)
    return max((n_groups - 1) * share**2, 1.0)


def _products(sample: RatedSample, weights: np.ndarray) -> np.ndarray:
    """Sums over prompts of the products of what two systems weigh them with.

    Parameters
    ----------
    weights : array of shape (N,), of clips

    Returns
    -------
    products : array of shape (S, S)
    """
    groups = sample.prompt_or_clip
    shape = (sample.n_systems, int(groups.max()) + 1)
    table = sparse.csr_matrix((weights, (sample.system, groups)), shape=shape)
    return (table @ table.T).toarray()


def _prediction_covariance(sample: RatedSample, predicted: np.ndarray) -> np.ndarray:
    """Covariance of the mean predictions of all clips, over clips and prompts.

    Systems are not drawn: predictions are taken around the mean of each.
    """
    origin = sample.system if sample.origin is None else sample.origin
    counts = np.bincount(origin)
    means = np.bincount(origin, weights=predicted) / np.maximum(counts, 1)
    inflation = np.sqrt(counts / np.maximum(counts - 1, 1))[origin]
    centred = (predicted - means[origin]) * inflation
    return _products(sample, centred / sample.clips_per_system[sample.system])


def _rater_covariance(
    sample: RatedSample, components: VarianceComponents
) -> np.ndarray:
    """Covariance of the means through raters who rated several of their clips.

    Each rating of a clip counts 1 / r, with r ratings of that clip. What a rater adds
    to single clips is part of their scatter; what is added here is that it is the same
    for several: the mean, over pairs of clips, of the weights of raters whom they
    share.
    """
    n_systems = sample.n_systems
    if sample.rater is None or components.of_raters <= 0:
        return np.zeros((n_systems, n_systems))
    weights = 1.0 / sample.ratings_per_clip[sample.clip_of]
    system = sample.system[sample.clip_of]
    shape = (n_systems, int(sample.rater.max()) + 1)
    table = sparse.csr_matrix((weights, (system, sample.rater)), shape=shape)
    pairs = (table @ table.T).toarray()

    counts = sample.rated_per_system
    of_same_clip = np.bincount(system, weights=weights**2, minlength=n_systems)
    within = (np.diag(pairs) - of_same_clip) / np.maximum(counts * (counts - 1), 1)
    covariance = components.rater * pairs / np.maximum(np.outer(counts, counts), 1)
    np.fill_diagonal(covariance, components.of_raters * within)
    return covariance


def _rater_freedom(sample: RatedSample, components: VarianceComponents) -> float:
    """Degrees of freedom of the variance of raters."""
    if sample.rater is None or components.of_raters <= 0:
        return np.inf
    rest = components.error + (components.clip or 0.0) + components.prompt
    n_raters = len(np.unique(sample.rater))
    return _freedom_of_groups(components.of_raters, rest, n_raters, len(sample.ratings))
