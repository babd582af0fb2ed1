"""The sign-flip test: whether a difference of two models is more than chance.

If two models are equally good, the predictions of either could as well be the other's,
in every system on its own. So the two are exchanged in some of the systems at a time,
and the difference that is seen is compared with those that exchanges make. For a mean,
such as that of squared errors, an exchange turns the sign of what a system adds to it:
its raw sum, whatever its number of clips. The test keeps its level with few systems,
with ties, and where one system has most of the clips; a percentile bootstrap, and
flips of influences about the difference itself, do not (`tests/benchmarks`,
``bench_verdict.py``).

The differences that the test does not reject are the interval. For means they are
bounded by means of subsets of the units (Hartigan 1969, "Using subsample values as
typical values", JASA 64). Where a difference is large, chance grows with it, and the
interval errs on the side of caution: it lies too near to 0 more often than 1 time in
40, and too far from 0 less often. p-value, interval and probability come from the same
exchanges, so that these never contradict each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from base_models.metrics.bootstrap import crossed, prompt_codes

LEVEL = 0.95
"""Level of intervals, and of any claim."""
POWER = 0.8
"""How probable it is that a difference of the smallest detectable size is found."""
# Up to so many units every exchange is made; of more, a number of them is drawn.
EXACT_UNITS = 13
DRAWN_FLIPS = 10_000
_FLIPS_AT_A_TIME = 500
# Listening tests that are simulated for the smallest detectable difference, and the
# exchanges that test each of them.
SIMULATED_TESTS = 400
FLIPS_PER_TEST = 2000
# Clips that stand for systems are joined in blocks, at most so many.
MAX_CLIP_UNITS = 200
# System means are rounded to ten decimals, so smaller differences are none.
TIE = 1e-9


@dataclass(frozen=True)
class FlipAnswer:
    """What the test says of one difference; all NaN where the difference is undefined.

    Parameters
    ----------
    low, high : the differences that the test does not reject; NaN where there are too
        few units for an interval of the level, or no exchange makes any difference
    p_above : how probable it is that the difference is above 0: 1 minus half of `p`
        above 0, half of `p` below
    p : two-sided p-value
    """

    low: float
    high: float
    p_above: float
    p: float


@dataclass(frozen=True, eq=False)
class Shares:
    """What each clip adds to a difference, which is ``values.sum() / sizes.sum()``.

    Parameters
    ----------
    values : array of shape (n,)
    sizes : array of shape (n,), by how much each of them would be more if the
        difference were more by 1
    """

    values: np.ndarray
    sizes: np.ndarray

    @property
    def difference(self) -> float:
        """The difference that the clips add up to."""
        return float(self.values.sum() / self.sizes.sum())


@dataclass(frozen=True, eq=False)
class FlippedUnits:
    """Units in which the two models are exchanged.

    Parameters
    ----------
    kind : ``"system"``, ``"clip"`` or ``"prompt"``
    unit_of_clip : int array of shape (n,), from 0
    signs : int8 array of shape (flips, units), -1 where a unit is exchanged; the first
        row exchanges none. Of an exchange and its opposite, which say the same, only
        one is there
    """

    kind: str
    unit_of_clip: np.ndarray
    signs: np.ndarray

    @classmethod
    def of(
        cls,
        kind: str,
        unit_of_clip: np.ndarray,
        seed: int,
    ) -> FlippedUnits:
        """Units of the given numbers; `seed` draws exchanges where there are many."""
        n_units = int(unit_of_clip.max()) + 1
        return cls(kind, unit_of_clip, _signs(n_units, seed))

    @property
    def n_units(self) -> int:
        """How many units there are."""
        return self.signs.shape[1]

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum over the clips of each unit, shape (units,)."""
        return np.bincount(self.unit_of_clip, weights=values, minlength=self.n_units)

    def exchanged_sums(self, values: np.ndarray, n_flips: int) -> np.ndarray:
        """Sum over all clips under each of the first exchanges, shape (n_flips,)."""
        sums = self.sums(values)
        # As numbers of 64 bits, thousands of exchanges of thousands of units are more
        # than all else that is held.
        starts = range(0, n_flips, _FLIPS_AT_A_TIME)
        parts = [
            self.signs[start : min(start + _FLIPS_AT_A_TIME, n_flips)] @ sums
            for start in starts
        ]
        return np.concatenate(parts)


@dataclass(frozen=True, eq=False)
class Exchanged:
    """A difference under every exchange of some units.

    Parameters
    ----------
    differences : array of shape (flips,), the first under no exchange; NaN where the
        difference is undefined
    balance : array of shape (flips,), by how much each of them would be more if the
        difference were more by 1: 1 under no exchange, -1 under that of all units
    """

    differences: np.ndarray
    balance: np.ndarray

    @classmethod
    def of_means(cls, shares: Shares, units: FlippedUnits) -> Exchanged:
        """A mean, in which every exchange turns the signs of sums of units."""
        total = shares.sizes.sum()
        n_flips = len(units.signs)
        return cls(
            differences=units.exchanged_sums(shares.values, n_flips) / total,
            balance=units.exchanged_sums(shares.sizes, n_flips) / total,
        )

    @classmethod
    def of_others(
        cls, differences: np.ndarray, shares: Shares, units: FlippedUnits
    ) -> Exchanged:
        """Any other metric, measured anew under the first of the exchanges."""
        balance = units.exchanged_sums(shares.sizes, len(differences))
        return cls(differences, balance / shares.sizes.sum())

    def ends(self, difference: float) -> tuple[np.ndarray, np.ndarray]:
        """Between which true differences each exchange is at least as extreme.

        Under a true difference t, an exchange counts against the one seen where
        ``abs(differences - t * balance) >= abs(difference - t)``. This holds between
        the two means of a unit's side: those exchanged, and those that are not.

        Parameters
        ----------
        difference : the one seen

        Returns
        -------
        low, high : arrays of shape (flips,), infinite where it always holds
        """
        # Where a side is empty or a metric undefined, nothing can be excluded.
        free = 1 - np.abs(self.balance)
        usable = (free > TIE) & np.isfinite(self.differences)
        balance = np.where(usable, self.balance, 0)
        exchanged = np.where(usable, self.differences, 0)
        one = (difference - exchanged) / (1 - balance)
        other = (difference + exchanged) / (1 + balance)
        low = np.where(usable, np.minimum(one, other), -np.inf)
        high = np.where(usable, np.maximum(one, other), np.inf)
        return low, high


def answer(kinds: Sequence[Exchanged], level: float = LEVEL) -> FlipAnswer:
    """Test a difference by the exchanges of each kind of units; the most cautious wins.

    Parameters
    ----------
    kinds : the same difference under exchanges of one or several kinds of units
    level : of the interval, which holds those of all kinds
    """
    difference = float(kinds[0].differences[0])
    if not np.isfinite(difference):
        return FlipAnswer(np.nan, np.nan, np.nan, np.nan)

    p = 0.0
    low = np.inf
    high = -np.inf
    for exchanged in kinds:
        lows, highs = exchanged.ends(difference)
        # Whether 0 lies between both ends is whether the exchange is as extreme.
        as_extreme = lows <= TIE if difference >= 0 else highs >= -TIE
        p = max(p, float(as_extreme.mean()))
        # The interval leaves 0 out exactly where no more exchanges are as extreme.
        cut = int((1 - level) * len(lows) + TIE)
        low = min(low, float(np.partition(lows, cut)[cut]))
        high = max(high, float(-np.partition(-highs, cut)[cut]))

    # Where no exchange makes a difference (both rank alike) chance cannot be judged.
    is_alike = all(_largest(exchanged) <= TIE for exchanged in kinds)
    if is_alike or not np.isfinite([low, high]).all():
        low = np.nan
        high = np.nan
    p_above = 0.5
    if abs(difference) > TIE:
        p_above = 1 - p / 2 if difference > 0 else p / 2
    return FlipAnswer(low, high, p_above, p)


def _largest(exchanged: Exchanged) -> float:
    """The largest difference, of either sign, under any exchange."""
    known = exchanged.differences[np.isfinite(exchanged.differences)]
    return float(np.abs(known).max(initial=0))


def both_ways(
    by_system: Exchanged,
    by_prompt: Exchanged,
    units: Sequence[FlippedUnits],
    shares: Shares,
    seed: int,
) -> Exchanged:
    """A difference under exchanges of systems and of prompts together.

    Where systems share prompts, what is peculiar to systems and what is peculiar to
    prompts both add to the variance of a difference, and a test by either alone claims
    too much. The sum of an exchange by systems and of one by prompts has the variance
    of both, and that of single clips twice; it is scaled to the two-way variance of
    Cameron, Gelbach and Miller (2011, "Robust inference with multiway clustering",
    Journal of Business & Economic Statistics 29), but never below that of one way.

    Parameters
    ----------
    by_system, by_prompt : the difference under exchanges of one kind
    units : the systems and the prompts
    shares : what each clip adds to the difference, or nearly so
    seed : of the drawn pairs of exchanges
    """
    systems, prompts = units
    rng = np.random.default_rng([seed, 2])
    rows = rng.integers(0, len(by_system.differences), DRAWN_FLIPS)
    columns = rng.integers(0, len(by_prompt.differences), DRAWN_FLIPS)
    # Of an exchange and its opposite only one is there; here they differ.
    turned = rng.choice([-1.0, 1.0], DRAWN_FLIPS)

    scale = two_way_scale(systems, prompts, shares)
    differences = by_system.differences[rows] + turned * by_prompt.differences[columns]
    balance = by_system.balance[rows] + turned * by_prompt.balance[columns]
    # The first is the difference itself, as in every `Exchanged`.
    return Exchanged(
        differences=np.append(by_system.differences[0], scale * differences),
        balance=np.append(1.0, scale * balance),
    )


def two_way_scale(
    systems: FlippedUnits,
    prompts: FlippedUnits,
    shares: Shares,
) -> float:
    """Two-way standard error over that of a sum of two exchanges, at most 1."""
    cell = systems.unit_of_clip * prompts.n_units + prompts.unit_of_clip
    of_systems = float((systems.sums(shares.values) ** 2).sum())
    of_prompts = float((prompts.sums(shares.values) ** 2).sum())
    of_cells = float((np.bincount(cell, weights=shares.values) ** 2).sum())
    if of_systems + of_prompts == 0:
        return 1.0
    two_way = max(of_systems, of_prompts, of_systems + of_prompts - of_cells)
    return float(np.sqrt(two_way / (of_systems + of_prompts)))


def smallest_difference(
    kinds: Sequence[FlippedUnits],
    shares: Shares,
    level: float = LEVEL,
    seed: int = 0,
) -> float:
    """The true difference that the test finds in `POWER` of such listening tests.

    It is simulated from the clips at hand. What each unit adds, less what it would add
    if it were like all other units, is taken for chance, and its sign is drawn anew in
    each of `SIMULATED_TESTS` tests; in each, the least true difference that would be
    told from 0 follows from the test's own interval. The answer is the quantile
    `POWER` of these. Where one system has most of the clips it is compared with the
    others alone, so that its own share of the mean does not hide how far off it is.

    Parameters
    ----------
    kinds : systems (or clips), and prompts where these are shared
    shares : what each clip adds to the difference. For rank correlations this is to
        first order; near a correlation of 1, where chance is less, it is too cautious
    level : 1 minus the p-value that a claim needs
    seed : of the drawn signs

    Returns
    -------
    difference : not negative; infinity where no difference, however large, could be
        shown with so few units
    """
    sizes = [float((units.sums(shares.values) ** 2).sum()) for units in kinds]
    least = 0.0
    for units, size in zip(kinds, sizes, strict=True):
        one_way = _smallest_one_way(units, shares, level=level, seed=seed)
        if len(kinds) > 1 and size > 0:
            # The variance of both ways is more than that of one.
            scale = two_way_scale(kinds[0], kinds[1], shares)
            one_way *= scale * float(np.sqrt(sum(sizes) / size))
        least = max(least, one_way)
    return least


def _smallest_one_way(
    units: FlippedUnits,
    shares: Shares,
    level: float,
    seed: int,
) -> float:
    """`smallest_difference` by the exchanges of one kind of units."""
    sums = units.sums(shares.values)
    sizes = units.sums(shares.sizes)
    total = sizes.sum()
    if units.n_units < 2:
        return np.inf
    # The difference of all other units, so leave-one-out residuals.
    others = (sums.sum() - sums) / (total - sizes)
    residuals = sums - others * sizes

    rng = np.random.default_rng([seed, 1])
    drawn = rng.choice([-1.0, 1.0], (SIMULATED_TESTS, units.n_units))
    noise = drawn * residuals / total
    signs = units.signs[:FLIPS_PER_TEST].astype(np.float64)
    balance = signs @ sizes / total
    cut = int((1 - level) * len(signs) + TIE)
    # A shift by more than this takes the lower end of the interval above 0.
    least = -_lower_ends(noise, signs, balance, cut=cut)
    smallest = float(np.quantile(least, POWER, method="higher"))
    # What is left of rounding, where the models are alike, is no difference.
    return smallest if smallest > TIE else 0.0


def _lower_ends(
    noise: np.ndarray, signs: np.ndarray, balance: np.ndarray, *, cut: int
) -> np.ndarray:
    """The lower end of the interval of each of many tests, as `Exchanged.ends` says.

    Parameters
    ----------
    noise : array of shape (tests, units), what each unit adds to the difference
    signs : array of shape (flips, units)
    balance : array of shape (flips,)
    cut : how many of the exchanges lie below the end

    Returns
    -------
    ends : array of shape (tests,)
    """
    # Exchanges that exclude nothing are below every end.
    usable = 1 - np.abs(balance) > TIE
    cut -= len(usable) - int(usable.sum())
    if cut < 0:
        return np.full(len(noise), -np.inf)

    # Both means of all tests at once: an exchange has 2 of a unit, or nothing.
    signs = signs[usable]
    balance = balance[usable, None]
    ends = noise @ ((1 - signs) / (1 - balance)).T
    np.minimum(ends, noise @ ((1 + signs) / (1 + balance)).T, out=ends)
    ends.partition(cut, axis=1)
    return ends[:, cut]


def flipped_units(
    system: np.ndarray,
    prompt: np.ndarray,
    seed: int,
) -> list[FlippedUnits]:
    """The kinds of units that a difference over n clips is tested with.

    Parameters
    ----------
    system, prompt : int arrays of shape (n,), codes from 0
    seed : of drawn exchanges

    Returns
    -------
    kinds : systems, or clips where there is a single system; and prompts too where
        systems share them
    """
    n_clips = len(system)
    if system.max() == 0:
        blocks = np.arange(n_clips) * min(n_clips, MAX_CLIP_UNITS) // n_clips
        return [FlippedUnits.of("clip", blocks, seed)]

    kinds = [FlippedUnits.of("system", system, seed)]
    if crossed(system, prompt):
        _, prompt_units = np.unique(prompt, return_inverse=True)
        kinds.append(FlippedUnits.of("prompt", prompt_units, seed))
    return kinds


def with_both_ways(
    exchanged: Sequence[Exchanged],
    units: Sequence[FlippedUnits],
    shares: Shares,
    seed: int,
) -> list[Exchanged]:
    """The exchanges of each kind and, of two kinds, those of both together."""
    if len(exchanged) < 2:
        return list(exchanged)
    by_system, by_prompt = exchanged
    together = both_ways(by_system, by_prompt, units, shares=shares, seed=seed)
    return [by_system, by_prompt, together]


def sign_flip(
    values: ArrayLike,
    system_ids: ArrayLike,
    prompt_ids: Sequence[str] | None = None,
    seed: int = 0,
    level: float = LEVEL,
) -> tuple[float, float, float]:
    """Test whether the mean of a difference per clip is 0.

    Units are systems, or clips of a single one; where systems share prompts, prompts
    are units too, alone and together with systems, and the most cautious answer stands.

    Parameters
    ----------
    values : array of shape (n,), a difference per clip
    system_ids, prompt_ids : n names each
    seed : of drawn exchanges, where there are too many for all of them
    level : of the interval

    Returns
    -------
    p : p-value
    low, high : interval; NaN where there are too few units for one of that level
    """
    clip_values = np.asarray(values, dtype=np.float64)
    names = np.asarray(system_ids, dtype=str)
    _, system = np.unique(names, return_inverse=True)
    prompt = prompt_codes(prompt_ids, len(clip_values))

    shares = Shares(clip_values, np.ones(len(clip_values)))
    units = flipped_units(system, prompt, seed)
    kinds = [Exchanged.of_means(shares, kind) for kind in units]
    found = answer(with_both_ways(kinds, units, shares=shares, seed=seed), level)
    return found.p, found.low, found.high


def _signs(n_units: int, seed: int) -> np.ndarray:
    """Exchanges as rows of 1 and -1, the empty one first: all of them, or a sample."""
    rng = np.random.default_rng(seed)
    if n_units > EXACT_UNITS:
        drawn = np.empty((DRAWN_FLIPS, n_units), dtype=np.int8)
        for start in range(0, DRAWN_FLIPS, _FLIPS_AT_A_TIME):
            part = drawn[start : start + _FLIPS_AT_A_TIME]
            part[:] = rng.choice([-1, 1], size=part.shape)
        drawn[0] = 1
        return drawn

    # The bits of a number say which units are exchanged. The last unit never is, since
    # the opposite exchange says the same.
    numbers = np.arange(2 ** (n_units - 1))
    # In no order, so that the first of them are a sample of all.
    numbers[1:] = rng.permutation(numbers[1:])
    is_exchanged = numbers[:, None] >> np.arange(n_units) & 1
    return (1 - 2 * is_exchanged).astype(np.int8)
