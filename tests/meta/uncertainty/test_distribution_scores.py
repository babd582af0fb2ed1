import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.uncertainty.distribution_scores import (
    coverage,
    crps,
    log_score,
    pit_histogram,
    pit_span,
    ranked_probability_score,
)

GRIDS = [ScoreBins(), ScoreBins(grid="endpoints"), ScoreBins(0, 100, 11)]
grids = pytest.mark.parametrize("bins", GRIDS)


def mid_pit(rows, truth, bins):
    return np.mean(pit_span(rows, truth, bins), axis=0)


def drawn(bins, n=40, seed=0):
    """Uneven distributions, and truths between, on and beyond the centres."""
    rng = np.random.default_rng(seed)
    truth = rng.uniform(bins.low, bins.high, n)
    truth[:4] = bins.low, bins.high, bins.centers[3], bins.centers[4:6].mean()
    return rng.dirichlet(np.full(bins.count, 0.3), n), truth


@grids
def test_crps_is_the_integral_over_the_scale(bins):
    for row, truth in zip(*drawn(bins, 8), strict=True):
        points = np.sort(np.r_[bins.low, bins.centers, truth, bins.high])

        def squared(x, row=row, truth=truth):
            return (row[bins.centers <= x].sum() - (truth <= x)) ** 2

        parts = [
            integrate.quad(squared, *pair)[0] for pair in itertools.pairwise(points)
        ]
        assert crps(row[None], [truth], bins) == pytest.approx(sum(parts), abs=1e-9)


@grids
def test_certainty_costs_its_absolute_error(bins):
    truth = np.linspace(bins.low, bins.high, 33)
    certain = np.eye(bins.count)[np.full(33, 7)]
    np.testing.assert_allclose(
        crps(certain, truth, bins), np.abs(truth - bins.centers[7]), atol=1e-12
    )


@grids
def test_for_truths_on_centres_the_ranked_probability_score_is_crps_in_other_units(
    bins,
):
    rows, _ = drawn(bins)
    truth = np.random.default_rng(1).choice(bins.centers, len(rows))
    in_steps = crps(rows, truth, bins) / (bins.centers[-1] - bins.centers[0])
    np.testing.assert_allclose(
        ranked_probability_score(rows, truth, bins), in_steps, atol=1e-12
    )
    ends = np.eye(bins.count)[[0, 0]]
    np.testing.assert_allclose(
        ranked_probability_score(ends, [bins.low, bins.high], bins), [0, 1]
    )


@grids
def test_a_placed_truth_keeps_its_mean_between_the_outer_centres(bins):
    truth = np.linspace(bins.low, bins.high, 101)
    placed = bins.split(truth)
    np.testing.assert_allclose(placed.sum(axis=1), 1)
    assert ((placed > 0).sum(axis=1) <= 2).all()
    np.testing.assert_allclose(
        bins.expected(placed), np.clip(truth, bins.centers[0], bins.centers[-1])
    )


@grids
def test_the_log_score_is_that_of_a_density(bins):
    rows, truth = drawn(bins)
    fine = np.linspace(bins.centers[0], bins.centers[-1], 20001)
    density = (
        np.exp(-log_score(np.repeat(rows[:1], len(fine), axis=0), fine, bins))
        / bins.width
    )
    outer = (rows[0, 0] + rows[0, -1]) / 2  # constant over the outer half bins
    assert integrate.trapezoid(density, fine) + outer == pytest.approx(1, abs=1e-6)
    certain = np.eye(bins.count)[[3, 3]]
    assert log_score(certain, [bins.centers[3], bins.high], bins) == pytest.approx(
        [0, np.inf]
    )
    assert np.isfinite(log_score(rows, truth, bins)).all()


@pytest.mark.parametrize("score", [crps, ranked_probability_score, log_score])
def test_no_other_distribution_does_better_than_the_true_one(score):
    bins, rng = ScoreBins(count=6), np.random.default_rng(0)
    true = rng.dirichlet(np.full(6, 2.0))

    def mean(row):
        return true @ score(np.repeat(row[None], 6, axis=0), bins.centers, bins)

    others = rng.dirichlet(np.full(6, 2.0), 200)
    assert min(mean(row) for row in others) > mean(true)


def test_pit_is_flat_for_true_distributions_and_not_for_narrow_ones():
    bins, rng = ScoreBins(), np.random.default_rng(0)
    scores = rng.uniform(1, 5, 20000)
    rows = bins.soften(scores, 0.5)
    truth = bins.centers[
        (rows.cumsum(axis=1) < rng.uniform(size=(20000, 1))).sum(axis=1)
    ]
    counts = pit_histogram(rows, truth, bins)
    assert counts.sum() == pytest.approx(20000)
    np.testing.assert_allclose(counts / 2000, 1, atol=0.06)
    assert mid_pit(rows, truth, bins).mean() == pytest.approx(0.5, abs=0.01)
    narrow = pit_histogram(bins.soften(scores, 0.25), truth, bins)
    assert narrow[[0, -1]].min() > 1.5 * narrow[4:6].max()


@grids
def test_the_histogram_is_the_average_over_randomised_pits(bins):
    rows, truth = drawn(bins, 200)
    low, high = pit_span(rows, truth, bins)
    randomised = low + (high - low) * np.random.default_rng(0).uniform(size=(3000, 200))
    oracle = np.histogram(randomised, np.linspace(0, 1, 11))[0] / 3000
    np.testing.assert_allclose(pit_histogram(rows, truth, bins), oracle, atol=0.7)
    assert (low <= mid_pit(rows, truth, bins)).all()


@grids
def test_truths_without_probability_are_counted_in_the_outer_cells(bins):
    certain = np.eye(bins.count)[[8, 8]]
    assert pit_histogram(certain, [bins.low, bins.high], bins).tolist() == [
        1,
        *[0] * 8,
        1,
    ]


def test_ratings_on_the_end_of_the_scale_are_not_surprising_by_themselves():
    bins = ScoreBins()
    sure = np.eye(20)[[19, 0]]
    np.testing.assert_allclose(mid_pit(sure, [5.0, 1.0], bins), 0.5)


def test_coverage_counts_bounds_and_names_the_groups():
    truth, low, high = (
        np.array([1.0, 2.0, 3.0, 4.0]),
        np.array([1.0, 2.5, 2.0, 3.0]),
        np.array([2.0, 3.0, 3.0, 5.0]),
    )
    found = coverage(truth, low, high, ["b", "b", "a", "a"])
    assert (found["share"], found["n"], found["mean_width"]) == (0.75, 4, 1.125)
    assert found["per_group"]["group"].tolist() == ["b", "a"]
    assert found["per_group"]["share"].tolist() == [0.5, 1]
    wilson = stats.binomtest(1, 2).proportion_ci(method="wilson")
    assert found["per_group"].loc[0, ["share_low", "share_high"]].tolist() == [
        wilson.low,
        wilson.high,
    ]
    alone = coverage(truth, low, high)
    wilson = stats.binomtest(3, 4).proportion_ci(method="wilson")
    assert (alone["share_low"], alone["share_high"]) == (wilson.low, wilson.high)
    assert "per_group" not in alone
    assert "per_group" not in coverage(truth, low, high, [""] * 4)


def test_resampled_groups_widen_the_interval_when_clips_follow_their_system():
    held = np.repeat([0.0, 1.0, 1.0, 1.0] * 2, 25)
    systems = np.repeat(list("abcdefgh"), 25)
    by_system, by_clip = (
        coverage(held, held * 0 + 0.5, held * 0 + 1, groups)
        for groups in (systems, None)
    )
    assert by_system["share"] == by_clip["share"] == 0.75
    assert by_system["share_high"] - by_system["share_low"] > 3 * (
        by_clip["share_high"] - by_clip["share_low"]
    )
    assert isinstance(by_system["per_group"], pd.DataFrame)


def shares_held(n_systems, p, correlation, repeats=120):
    """How often the interval of a share holds the true share p, of 5 clips a system."""
    rng = np.random.default_rng([n_systems, 7])
    systems = np.repeat(np.arange(n_systems).astype(str), 5)
    held = 0
    for _ in range(repeats):
        of_system = np.full(n_systems, p)
        if correlation:
            size = 1 / correlation - 1
            of_system = rng.beta(p * size, (1 - p) * size, n_systems)
        inside = (rng.uniform(size=(n_systems, 5)) < of_system[:, None]).ravel()
        low = np.where(inside, 0.5, 2.0)
        found = coverage(np.ones(len(low)), low, low + 0.5, systems, n_bootstrap=300)
        held += found["share_low"] <= p <= found["share_high"]
    return held / repeats


@pytest.mark.parametrize("n_systems", [5, 8, 15])
@pytest.mark.parametrize("correlation", [0, 0.2])
def test_the_interval_of_a_share_holds_it_with_few_systems(n_systems, correlation):
    # Percentiles of resamples alone hold .56 to .94 of them.
    assert shares_held(n_systems, 0.9, correlation) > 0.9


def test_a_share_of_all_clips_is_not_certain_and_few_systems_have_no_interval():
    held = np.ones(36)
    found = coverage(held, held, held, np.arange(36) % 8)
    assert found["share"] == found["share_high"] == 1
    assert found["share_low"] < 0.95
    few = coverage(held, held, held, np.arange(36) % 4)
    assert few["share"] == 1
    assert np.isnan([few["share_low"], few["share_high"]]).all()


@pytest.mark.parametrize(
    ("rows", "truth", "message"),
    [
        (
            np.full((1, 20), 0.05),
            [1.0, 2.0],
            r"truth \(n,\) and distributions \(n, 20\)",
        ),
        (np.full((1, 20), 0.05), [np.nan], "NaN or off the scale"),
        (np.full((1, 20), 0.05), [5.1], "NaN or off the scale"),
        (np.full((1, 20), 0.5), [5.0], "must sum to 1"),
    ],
)
@pytest.mark.parametrize(
    "score", [crps, ranked_probability_score, log_score, pit_span, pit_histogram]
)
def test_what_cannot_be_scored_is_refused(score, rows, truth, message):
    with pytest.raises(UsageError, match=message):
        score(rows, truth, ScoreBins())


def test_coverage_refuses_lists_that_do_not_match():
    with pytest.raises(UsageError, match="lists of one length"):
        coverage([1.0], [1.0, 2.0], [1.0, 2.0])
    with pytest.raises(UsageError, match="lists of one length"):
        coverage([], [], [])
    with pytest.raises(UsageError, match="3 groups for 2 truths"):
        coverage([1.0, 2.0], [1.0, 2.0], [1.0, 2.0], ["a", "b", "c"])
