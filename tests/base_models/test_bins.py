import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from base_models.bins import ScoreBins
from base_models.errors import UsageError

grids = pytest.mark.parametrize(
    "bins", [ScoreBins(), ScoreBins(grid="endpoints"), ScoreBins(0, 100, 11)]
)


def test_the_papers_grid_has_twenty_centres_and_the_published_code_twenty_points():
    assert np.allclose(ScoreBins().centers, np.arange(1.1, 5, 0.2))
    assert np.allclose(ScoreBins(grid="endpoints").centers, np.linspace(1, 5, 20))


@grids
def test_softened_rows_sum_to_one_and_peak_at_the_nearest_bin(bins):
    scores = np.linspace(bins.low, bins.high, 101)
    soft = bins.soften(scores, bins.width)
    assert np.allclose(soft.sum(-1), 1)
    nearest = np.abs(scores[:, None] - bins.centers).min(1)
    assert np.allclose(np.abs(bins.centers[soft.argmax(1)] - scores), nearest)


def test_softening_follows_equation_one():
    bins, score, sigma = ScoreBins(), 3.27, 0.25
    weights = np.exp(-((score - bins.centers) ** 2) / (2 * sigma**2))
    assert np.allclose(bins.soften(score, sigma), weights / weights.sum())


@grids
def test_decode_inverts_soften(bins):
    scores = np.linspace(bins.low, bins.high, 333)
    for share in (0.7, 1.25, 1.75, 3.0):
        sigma = share * bins.width
        assert np.allclose(
            bins.decode(bins.soften(scores, sigma), sigma),
            scores,
            atol=1e-6 * (bins.high - bins.low),
        )


def test_the_plain_expectation_leans_inwards_at_the_ends_and_decode_does_not():
    bins = ScoreBins(grid="endpoints")
    assert bins.expected(bins.soften(5.0, 0.25)) == pytest.approx(4.860, abs=5e-4)
    assert bins.expected(bins.soften(1.0, 0.35)) == pytest.approx(1.218, abs=5e-4)
    assert bins.decode(bins.soften(5.0, 0.25), 0.25) == pytest.approx(5.0)


@grids
def test_what_was_not_softened_decodes_to_its_mean(bins):
    hard = np.eye(bins.count)
    assert np.allclose(bins.decode(hard, 0), bins.centers)
    halves = (hard[:-1] + hard[1:]) / 2
    assert np.allclose(
        bins.decode(halves, 0), (bins.centers[:-1] + bins.centers[1:]) / 2
    )
    assert (
        (bins.decode(hard * (1 + 1e-6), 0) >= bins.low)
        & (bins.decode(hard * (1 + 1e-6), 0) <= bins.high)
    ).all()


@given(st.lists(st.floats(1, 5), min_size=2, max_size=30), st.floats(0.2, 1.0))
def test_order_of_scores_is_kept(scores, sigma):
    bins = ScoreBins()
    decoded = bins.decode(bins.soften(np.sort(scores), sigma), sigma)
    assert (np.diff(decoded) >= -1e-9).all()


def test_a_tiny_sigma_still_gives_a_distribution():
    assert np.allclose(ScoreBins().soften([1.0, 2.99, 5.0], 1e-6).sum(-1), 1)


def test_scores_that_are_not_finite_are_refused():
    with pytest.raises(UsageError, match="must be finite"):
        ScoreBins().soften([np.nan])
    with pytest.raises(UsageError, match="sigma must be positive; got 0"):
        ScoreBins().soften([3.0], 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0.5] * 20, "must sum to 1"),
        ([np.nan] * 20, "NaN"),
        ([2, -1] + [0] * 18, "negative"),
        ([1.0], "expected 20 bins"),
    ],
)
def test_what_is_not_a_distribution_is_refused(values, message):
    with pytest.raises(UsageError, match=message):
        ScoreBins().check(np.array(values), "x")


def test_an_impossible_scale_is_refused():
    with pytest.raises(UsageError, match="low < high"):
        ScoreBins(5, 1)
    with pytest.raises(UsageError, match="Did you mean 'midpoints'"):
        ScoreBins(grid="midpoint")


@grids
def test_each_score_may_have_a_width_of_its_own(bins):
    scores = np.linspace(bins.low, bins.high, 7)
    widths = bins.width * np.linspace(0.5, 5, 7)
    each = [bins.soften(s, w) for s, w in zip(scores, widths, strict=True)]
    np.testing.assert_array_equal(bins.soften(scores, widths), each)
    with pytest.raises(UsageError, match="sigma must be positive; got 0"):
        bins.soften(scores, np.r_[widths[:-1], 0.0])


@grids
def test_gaussians_have_the_means_that_are_asked_for(bins):
    length = bins.high - bins.low
    means = bins.low + length * np.linspace(0.3, 0.7, 9)
    widths = length * np.linspace(0.05, 0.2, 9)
    shares = bins.gaussians(means, widths)
    np.testing.assert_allclose(shares.sum(axis=-1), 1)
    np.testing.assert_allclose(bins.expected(shares), means, atol=1e-9 * length)


@grids
def test_gaussians_keep_the_order_of_means_and_widths_up_to_the_ends(bins):
    length = bins.high - bins.low
    means = np.linspace(bins.low, bins.high, 21)
    shares = bins.gaussians(means, 0.2 * length)
    got = bins.expected(shares)
    assert (np.diff(got) >= 0).all()
    # What cannot be reached is as near as can be: the peak is at the end.
    np.testing.assert_allclose(shares[-1], bins.soften(bins.high, 0.2 * length))

    middle = (bins.low + bins.high) / 2
    wider = bins.gaussians(np.full(5, middle), length * np.linspace(0.05, 0.3, 5))
    variances = (wider * (bins.centers - middle) ** 2).sum(axis=-1)
    assert (np.diff(variances) > 0).all()
