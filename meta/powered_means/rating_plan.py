"""Which clips to rate, and how sure the means will be.

Ratings go to systems by Neyman's rule: in proportion to how far a clip's rating lies
from its prediction. Within a system the clips are drawn at random, evenly over the
range of predictions, each with the same chance: the plain mean of their ratings is then
valid, and a plan is never a choice of clips by how they sound.

Sources: J. Neyman, J. Royal Statistical Society 97 (1934); T. Wright, Exact optimal
sample allocation, American Statistician 66 (2012); J.-C. Deville and Y. Tillé, Unequal
probability sampling without replacement through a splitting method, Biometrika 85
(1998), of which the ordered pivotal method is the one used.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from base_models.errors import UsageError, one_of
from meta.powered_means.moderated_variances import ENOUGH_FREEDOM
from meta.powered_means.rated_sample import RatedSample
from meta.powered_means.system_estimates import SystemEstimates, fitted_slope

ALLOCATIONS = ("systems", "corpus", "equal")
"""What the ratings are to serve: the mean of each system, that of the corpus, or
comparisons, for which every system gets as many."""

RATER_DEVIATION = 0.85
"""Standard deviation of single ratings of one clip, where nothing is known: that of the
BVCC listening test (3,424 ratings, `tests/benchmarks/bench_rate_less.py`)."""

CORRELATION = 0.66
"""Of mean ratings and predictions within systems, where the predictions come without
intervals: that of a good stack on the same test."""

LEAST_CLIPS = 2
"""Of each system: fewer leave nothing to tell its interval from."""


@dataclass(frozen=True)
class PlanSettings:
    """What a plan is to do.

    Parameters
    ----------
    budget : number of ratings
    ratings_per_clip : ratings of each clip, by different raters
    allocation : one of `ALLOCATIONS`
    rater_deviation : standard deviation of single ratings of one clip, in score points
    level : coverage of the intervals to expect
    seed : of the draw
    """

    budget: int
    ratings_per_clip: int = 1
    allocation: str = "systems"
    rater_deviation: float = RATER_DEVIATION
    level: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse settings that no plan can follow."""
        one_of(self.allocation, ALLOCATIONS, "allocation")
        if self.ratings_per_clip < 1:
            raise UsageError(
                "A clip needs one rating or more (--ratings-per-clip); got "
                f"{self.ratings_per_clip}."
            )
        if self.budget < 1:
            raise UsageError(
                f"The budget is a number of ratings (--budget 200); got {self.budget}."
            )
        if not (np.isfinite(self.rater_deviation) and self.rater_deviation > 0):
            raise UsageError(
                "The deviation of raters is a positive number of score points "
                f"(--rater-deviation {RATER_DEVIATION}); got {self.rater_deviation:g}."
            )
        if not 0 < self.level < 1:
            raise UsageError(f"A level lies between 0 and 1; got {self.level:g}.")


@dataclass(frozen=True, eq=False)
class RatingPlan:
    """Clips to rate.

    Parameters
    ----------
    rows : int array, rows of the clip table in the order in which to rate them
    systems : DataFrame
        One row per system and a last one of the corpus (``level``, as in
        `PoweredMeans.means`): ``system, clips, to_rate, ratings``, and the half-widths
        to expect, ``human_half_width`` and ``powered_half_width``.
    same_prompts : bool, whether the clips of all systems are of the same prompts
    """

    rows: np.ndarray
    systems: pd.DataFrame
    same_prompts: bool = False


def rating_plan(
    clips: pd.DataFrame,
    settings: PlanSettings,
    residual_deviation: np.ndarray | None = None,
    pilot: RatedSample | None = None,
) -> RatingPlan:
    """Choose clips, and say what their ratings will tell.

    Parameters
    ----------
    clips : DataFrame of N rows
        ``system_id`` and ``prediction``, perhaps ``prompt``.
    settings : PlanSettings
    residual_deviation : array of shape (N,), optional
        How far a clip's true score is expected from its prediction, as a standard
        deviation; by default what `CORRELATION` makes of the spread of predictions.
    pilot : RatedSample, optional
        The same clips with ratings that there are already: their scatter takes the
        place of everything that is assumed, they are not rated again, and the budget
        is for ratings beyond them.

    Raises
    ------
    UsageError
        When the budget does not suffice for `LEAST_CLIPS` of each system, or for one
        clip, or every clip is rated already.

    Notes
    -----
    Half-widths are of the mean of a system's clips in general, for predictions that are
    right on average within systems and raters who are not shared between clips. They
    are of all ratings, those of the pilot included.

    With equal numbers, where every system has the same prompts, the same are drawn for
    all: in a difference, what they share cancels.
    """
    system, names = pd.factorize(clips["system_id"], sort=True)
    counts = np.bincount(system)
    predictions = clips["prediction"].to_numpy(dtype=float)
    rated = np.zeros(len(clips), dtype=bool) if pilot is None else pilot.is_rated
    already = np.bincount(system[rated], minlength=len(counts))
    residual, spread = _scatter(
        predictions,
        system,
        settings=settings,
        residual_deviation=residual_deviation,
        pilot=pilot,
    )
    priorities = _priorities(residual, counts, settings.allocation)
    sizes = _allocate(counts, already, priorities, settings)

    rng = np.random.default_rng(settings.seed)
    new = sizes - already
    prompts = None
    if settings.allocation == "equal" and len(set(new.tolist())) == 1:
        prompts = _common_prompts(clips, system, rated)
    if prompts is not None:
        drawn = _draw_prompts(prompts, predictions, int(new[0]), rng)
    else:
        drawn = _draw_clips(system, predictions, rated, new=new, rng=rng)
    expected = _Expected(counts, sizes, residual, spread)
    return RatingPlan(
        rows=rng.permutation(drawn),
        systems=_expected_table(
            list(map(str, names)), expected, new=new, settings=settings
        ),
        same_prompts=prompts is not None,
    )


def _scatter(
    predictions: np.ndarray,
    system: np.ndarray,
    *,
    settings: PlanSettings,
    residual_deviation: np.ndarray | None,
    pilot: RatedSample | None,
) -> tuple[np.ndarray, np.ndarray]:
    """Variances of ratings around predictions, and of predictions, per system."""
    spread = _spread(predictions, system)
    if pilot is not None and pilot.is_rated.any():
        slope = fitted_slope(pilot)
        known = SystemEstimates.fit(pilot, slope, "system").clip_variances
        # One rating of each system tells of no scatter.
        if np.isfinite(known).all():
            return known, spread * slope.value**2
    if residual_deviation is None:
        residual = spread * (1 / CORRELATION**2 - 1)
    else:
        squares = np.bincount(system, weights=residual_deviation**2)
        residual = squares / np.bincount(system)
    return residual + settings.rater_deviation**2 / settings.ratings_per_clip, spread


def _spread(predictions: np.ndarray, system: np.ndarray) -> np.ndarray:
    """Variance of the predictions of each system."""
    counts = np.bincount(system)
    means = np.bincount(system, weights=predictions) / counts
    squares = np.bincount(system, weights=(predictions - means[system]) ** 2)
    return squares / np.maximum(counts - 1, 1)


def _priorities(
    residual: np.ndarray, counts: np.ndarray, allocation: str
) -> np.ndarray:
    """What each system adds to the sum to make small, if one clip of it is rated."""
    if allocation == "equal":
        return np.ones(len(counts))
    return residual * counts**2 if allocation == "corpus" else residual


def _allocate(
    counts: np.ndarray,
    already: np.ndarray,
    priorities: np.ndarray,
    settings: PlanSettings,
) -> np.ndarray:
    """Numbers of clips n that make the sum of priorities / n least, exactly."""
    if (already == counts).all():
        raise UsageError("Every clip is rated already: there is nothing to plan.")
    sizes = np.maximum(np.minimum(LEAST_CLIPS, counts), already)
    budget = settings.budget // settings.ratings_per_clip
    if budget < 1:
        raise UsageError(
            f"{settings.budget} ratings are less than the {settings.ratings_per_clip} "
            "of one clip. Raise --budget, or lower --ratings-per-clip."
        )
    needed = int(np.sum(sizes - already))
    if budget < needed:
        raise UsageError(
            f"{settings.budget} ratings are {budget} clips with "
            f"{settings.ratings_per_clip} each; {len(counts)} systems need {needed} "
            f"({LEAST_CLIPS} of each). Raise --budget, or name fewer systems with "
            "--compare."
        )

    # The next clip goes where it helps most; for convex sums that is the optimum.
    def entry(k: int) -> tuple[float, int]:
        return (-priorities[k] / (sizes[k] * (sizes[k] + 1)), k)

    heap = [entry(k) for k in range(len(counts)) if sizes[k] < counts[k]]
    heapq.heapify(heap)
    for _ in range(budget - needed):
        if not heap:
            break
        _, k = heapq.heappop(heap)
        sizes[k] += 1
        if sizes[k] < counts[k]:
            heapq.heappush(heap, entry(k))
    return sizes


def _draw_clips(
    system: np.ndarray,
    predictions: np.ndarray,
    rated: np.ndarray,
    *,
    new: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """So many new clips of each system, evenly over its predictions."""
    drawn = []
    for k, size in enumerate(new):
        rows = np.flatnonzero((system == k) & ~rated)
        # Ties are broken at random, not by the order of the table.
        order = np.lexsort((rng.random(len(rows)), predictions[rows]))
        drawn.append(rows[order][ordered_pivotal(len(rows), int(size), rng)])
    return np.concatenate(drawn)


def _common_prompts(
    clips: pd.DataFrame, system: np.ndarray, rated: np.ndarray
) -> np.ndarray | None:
    """Rows of shape (prompts, systems), or None unless each has each prompt once."""
    if "prompt" not in clips or rated.any() or (clips["prompt"] == "").any():
        return None
    prompt, names = pd.factorize(clips["prompt"])
    n_systems = int(system.max()) + 1
    places = prompt * n_systems + system
    is_complete = len(np.unique(places)) == len(places) == len(names) * n_systems
    return np.argsort(places).reshape(-1, n_systems) if is_complete else None


def _draw_prompts(
    rows: np.ndarray,
    predictions: np.ndarray,
    n_drawn: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """The clips of so many prompts, evenly over their mean predictions."""
    means = predictions[rows].mean(axis=1)
    order = np.lexsort((rng.random(len(means)), means))
    places = ordered_pivotal(len(means), n_drawn, rng)
    return rows[order[places]].ravel()


def ordered_pivotal(n_units: int, n_drawn: int, rng: np.random.Generator) -> np.ndarray:
    """Draw units along a row, evenly, each with the chance ``n_drawn / n_units``.

    Neighbours fight for the sum of their chances: one gets as much of it as it may, the
    other keeps the rest and fights with the next.

    Parameters
    ----------
    n_units : int
        In an order that the draw is to be even along.
    n_drawn : int
        At most `n_units`.
    rng : numpy Generator

    Returns
    -------
    places : sorted int array of shape (n_drawn,)
    """
    if n_drawn >= n_units:
        return np.arange(n_units)
    share = n_drawn / n_units
    taken = []
    holder = 0
    chance = share
    for unit in range(1, n_units):
        total = chance + share
        if total < 1 - 1e-12:
            # One drops out, the other holds the chances of both.
            if rng.random() * total >= chance:
                holder = unit
            chance = total
            continue
        # One is drawn, the other keeps what is left.
        rest = total - 1
        winner_is_holder = rng.random() * (2 - total) < 1 - share
        taken.append(holder if winner_is_holder else unit)
        holder = unit if winner_is_holder else holder
        chance = rest
    # The chances sum to a whole number, so that only rounding can be left.
    if len(taken) < n_drawn:
        taken.append(holder)
    return np.sort(np.array(taken, dtype=np.intp))


# ---- what to expect


@dataclass(frozen=True, eq=False)
class _Expected:
    """Numbers and expected variances per system, arrays of shape (S,).

    Parameters
    ----------
    clips, rated : numbers of clips, `rated` as the plan leaves them
    residual : variance of a clip's mean rating around its prediction
    spread : variance of predictions
    """

    clips: np.ndarray
    rated: np.ndarray
    residual: np.ndarray
    spread: np.ndarray

    def variances(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the means of systems: from ratings alone, and powered."""
        human = (self.residual + self.spread) / self.rated
        powered = self.residual / self.rated + self.spread / self.clips
        return human, np.minimum(human, powered)


def _expected_table(
    names: list[str],
    expected: _Expected,
    *,
    new: np.ndarray,
    settings: PlanSettings,
) -> pd.DataFrame:
    # The variances of systems are steadied by one another, as if they were all alike.
    of_all = max(int(expected.rated.sum()) - len(names), 1)
    of_systems = np.minimum(np.maximum(expected.rated - 1, ENOUGH_FREEDOM), of_all)
    quantiles = stdtrit(np.append(of_systems, of_all), (1 + settings.level) / 2)
    human, powered = expected.variances()
    weights = expected.clips / expected.clips.sum()
    ratings = new * settings.ratings_per_clip
    table = {
        "level": ["system"] * len(names) + ["corpus"],
        "system": [*names, ""],
        "clips": np.append(expected.clips, expected.clips.sum()),
        "to_rate": np.append(new, new.sum()),
        "ratings": np.append(ratings, ratings.sum()),
    }
    for name, variances in (("human", human), ("powered", powered)):
        of_corpus = np.sum(weights**2 * variances)
        both = np.append(variances, of_corpus)
        table[f"{name}_half_width"] = quantiles * np.sqrt(both)
    return pd.DataFrame(table)
