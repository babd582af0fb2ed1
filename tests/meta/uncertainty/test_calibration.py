import numpy as np
import pytest
from builders import scores_and_labels
from scipy.special import ndtr

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError
from base_models.files import from_json, parse_tensors, to_json, write_tensors
from meta.uncertainty.calibration import MIN_ROWS, Calibration
from meta.uncertainty.distribution_scores import crps, log_score, pit_histogram

BINS = ScoreBins()
GRIDS = [BINS, ScoreBins(grid="endpoints"), ScoreBins(0, 100, 11)]
grids = pytest.mark.parametrize("bins", GRIDS)
ERRORS = {
    "gaussian": None,
    "skewed": lambda rng, score: 0.6 - rng.gamma(1.5, 0.4, len(score)),
    "wider above": lambda rng, score: rng.normal(0, 0.15 + 0.25 * (score - 1)),
    "heavy": lambda rng, score: 0.35 * rng.standard_t(3, len(score)),
}


def on_scale(rng, n, errors="gaussian", bins=BINS):
    """Scores and labels on the scale of the bins."""
    score, truth = scores_and_labels(n, rng, errors=ERRORS[errors])
    onto = (bins.high - bins.low) / 4
    return bins.low + onto * (score - 1), bins.low + onto * (truth - 1)


def fitted(n=200, errors="gaussian", bins=BINS, seed=0):
    return Calibration.fit(
        *on_scale(np.random.default_rng(seed), n, errors, bins), bins
    )


@pytest.mark.parametrize("errors", ERRORS)
@pytest.mark.parametrize("n", [50, 100, 500])
def test_intervals_hold_the_share_they_promise_whatever_the_errors(n, errors):
    rng = np.random.default_rng(n)
    shares = {0.5: [], 0.9: [], 0.95: []}
    for _ in range(150):
        calibration = Calibration.fit(*on_scale(rng, n, errors), BINS)
        score, truth = on_scale(rng, 200, errors)
        for level, found in shares.items():
            low, high = calibration.interval(score, level)
            found.append(np.mean((low <= truth) & (truth <= high)))
    for level, found in shares.items():
        assert level - 0.015 < np.mean(found) < level + 1 / (n + 1) + 0.02, level


@pytest.mark.parametrize(
    ("n", "level"), [(30, 0.9), (50, 0.9), (99, 0.95), (20, 0.5), (12, 0.9), (8, 0.9)]
)
def test_a_new_rank_is_held_in_exactly_the_promised_share_of_ways(n, level):
    rows = np.random.default_rng(n).permutation(
        np.linspace(-0.9, 1.1, n + 1)
    )  # any of n + 1 may be the new one
    held = 0
    for new in range(n + 1):
        low, high = Calibration(BINS, np.delete(rows, new)).interval([3.0], level)
        held += low[0] <= 3 + rows[new] <= high[0]
    assert held == max(np.ceil(level * (n + 1) - 1e-9), 0)


def test_tails_differ_when_errors_do():
    low, high = fitted(400, "skewed").interval([3.0])
    assert 3 - low[0] > 1.4 * (high[0] - 3)


def test_too_few_rows_give_the_whole_scale():
    low, high = fitted(8).interval([2.0, 4.0])
    assert (low.tolist(), high.tolist()) == ([1, 1], [5, 5])
    one = fitted(12)
    low, high = one.interval([3.0])
    assert high[0] - 3 == pytest.approx(3 - low[0]) == np.abs(one.residuals).max()
    assert "learnt from 12 clips" in one.warnings()[0]


@grids
def test_intervals_lie_on_the_scale_and_nest(bins):
    calibration, scores = fitted(bins=bins), np.linspace(bins.low, bins.high, 50)
    bounds = [calibration.interval(scores, level) for level in (0.95, 0.9, 0.5)]
    for (low, high), (lower, upper) in zip(bounds[1:], bounds[:-1], strict=True):
        assert (
            (bins.low <= lower)
            & (lower <= low)
            & (low <= high)
            & (high <= upper)
            & (upper <= bins.high)
        ).all()
    assert bounds[0][1][-1] == bins.high


def test_a_group_with_enough_rows_has_intervals_of_its_own_and_any_other_those_of_all():
    rng = np.random.default_rng(0)
    groups = np.repeat(["sure", "wild", "few"], [200, 200, MIN_ROWS - 1])
    score = rng.uniform(2, 4, len(groups))
    truth = np.clip(score + rng.normal(0, np.where(groups == "wild", 0.8, 0.2)), 1, 5)
    calibration = Calibration.fit(score, truth, BINS, groups)
    assert calibration.own_groups == {"sure", "wild"}
    low, high = calibration.interval(
        [3.0] * 4, 0.9, ["sure", "wild", "few", "never seen"]
    )
    is_wild = np.array(calibration.groups) == "wild"
    alone = Calibration(BINS, calibration.residuals[is_wild]).interval([3.0])
    assert (low[1], high[1]) == (alone[0][0], alone[1][0])
    overall = calibration.interval([3.0])
    assert low[2] == low[3] == overall[0][0]
    assert high[2] == high[3] == overall[1][0]
    assert high[0] - low[0] < high[2] - low[2] < high[1] - low[1]
    assert calibration.warnings() == [
        "'few' have fewer than 30 clips each; their intervals are those of all clips."
    ]
    for name in ("sure", "wild"):
        new = rng.normal(0, 0.8 if name == "wild" else 0.2, 4000)
        low, high = calibration.interval([3.0], 0.9, [name])
        assert np.mean((low - 3 <= new) & (new <= high - 3)) == pytest.approx(
            0.9, abs=0.06
        )


@grids
@pytest.mark.parametrize("errors", ERRORS)
@pytest.mark.parametrize("n", [1, 7, 300])
def test_rows_sum_to_one_rise_with_the_score_and_have_its_mean(n, errors, bins):
    calibration = fitted(n, errors, bins)
    scores = np.linspace(bins.low, bins.high, 401)
    rows = calibration.distribution(scores)
    np.testing.assert_allclose(rows.sum(axis=1), 1, atol=1e-12)
    assert rows.min() > 0
    assert np.diff(rows.cumsum(axis=1), axis=0).max() <= 1e-12
    means = bins.expected(rows)
    wanted = np.clip(calibration.expected(scores), means[0], means[-1])
    np.testing.assert_allclose(bins.decode(rows, calibration.sigma), wanted, atol=1e-9)
    if n > 1:
        assert means[0] < bins.low + (bins.high - bins.low) / 4
        assert means[-1] > bins.high - (bins.high - bins.low) / 4


def test_one_row_is_a_gaussian_and_many_are_their_own_shape():
    bimodal = np.tile([-0.6, 0.6], 2000)
    few, many = (
        Calibration(BINS, bimodal[:n]).distribution([2.9])[0] for n in (2, 4000)
    )
    centre = int(np.argmin(np.abs(BINS.centers - 2.9)))
    assert few[centre] > few[centre + 3]
    assert many[centre] < 0.7 * many[centre + 3]


def test_the_table_is_the_plain_sum_of_kernels():
    residuals = np.random.default_rng(0).normal(0, 0.5, 9)
    calibration = Calibration(BINS, residuals)
    spread = residuals.std()
    kernel = 1.06 * spread * 9**-0.2
    points = (residuals - residuals.mean()) * np.sqrt(1 - (kernel / spread) ** 2)
    for row, location in ((0, 1.0), (67, 1 + 67 * 0.025), (160, 5.0)):
        below = [0.0]
        for edge in np.arange(1.2, 4.9, 0.2) - location:
            below.append(
                (
                    sum(ndtr((edge - point) / kernel) for point in points)
                    + ndtr(edge / 2)
                )
                / 10
            )
        np.testing.assert_allclose(
            calibration._table(1.0)[row], np.diff([*below, 1]), atol=1e-12
        )


@pytest.mark.parametrize("errors", ERRORS)
def test_distributions_are_calibrated_and_better_than_one_fixed_width(errors):
    rng = np.random.default_rng(3)
    score, truth = on_scale(rng, 6000, errors)
    calibration = fitted(400, errors)
    rows = calibration.distribution(score)
    counts = pit_histogram(rows, truth, BINS)
    np.testing.assert_allclose(counts / 600, 1, atol=0.4)
    assert np.abs(counts / 600 - 1).mean() < 0.2
    found, best, fixed = (
        crps(r, truth, BINS).mean()
        for r in (rows, BINS.soften(score, calibration.rms), BINS.soften(score, 0.35))
    )
    assert found < fixed
    assert (
        found < best * 1.003
    )  # of Gaussian errors a Gaussian knows the shape beforehand
    assert log_score(rows, truth, BINS).max() < 12


def test_scores_that_are_off_on_average_are_set_right_and_others_are_left_alone():
    rng = np.random.default_rng(0)
    truth = rng.uniform(1, 5, 400)
    right = np.clip(truth + rng.normal(0, 0.01, 400), 1, 5)
    assert (fitted(400).slope, fitted(400).intercept) == (1, 0)
    shrunk = 3.5 + 0.4 * (truth - 3) + rng.normal(0, 0.1, 400)
    calibration = Calibration.fit(shrunk, truth, BINS)
    assert (
        np.abs(calibration.expected(shrunk) - truth).mean()
        < 0.25
        < np.abs(shrunk - truth).mean()
    )
    assert "stand around" in calibration.warnings()[0]
    low, high = calibration.interval(shrunk)
    assert np.mean((low <= truth) & (truth <= high)) == pytest.approx(0.9, abs=0.02)
    np.testing.assert_allclose(
        BINS.expected(calibration.distribution([3.0])), calibration.expected([3.0])
    )
    turned = Calibration.fit(
        6 - right, truth, BINS
    )  # a line downwards would turn the ranks round
    assert (turned.slope, turned.intercept) == (1, 0)
    assert Calibration.fit(np.full(400, 3.0), truth, BINS).slope == 1


@pytest.mark.parametrize("groups", [None, ["06", "é"] * 100])
def test_a_saved_calibration_answers_bit_for_bit(groups, tmp_path):
    saved = Calibration.fit(*on_scale(np.random.default_rng(1), 200), BINS, groups)
    facts, arrays = saved.to_state()
    write_tensors(tmp_path / "a", arrays)
    again = Calibration.from_state(
        from_json(to_json(facts), "facts"),
        parse_tensors((tmp_path / "a").read_bytes(), "a"),
    )
    scores = np.linspace(1, 5, 40)
    np.testing.assert_array_equal(
        again.distribution(scores), saved.distribution(scores)
    )
    names = None if groups is None else groups[:40]
    np.testing.assert_array_equal(
        again.interval(scores, groups=names), saved.interval(scores, groups=names)
    )
    assert (again.describe(), again.warnings()) == (saved.describe(), saved.warnings())


@pytest.mark.parametrize(
    ("facts", "arrays"),
    [
        ({"bins": {"low": 5.0, "high": 1.0}}, {}),
        ({"bins": {"colour": 5.0}}, {}),
        ({"groups": ["a"]}, {}),
        ({"groups": [1] * 200}, {}),
        ({"slope": -1.0}, {}),
        ({"intercept": float("nan")}, {}),
        ({"slope": None}, {}),
        ({}, {"residuals": np.full(200, np.nan)}),
        ({}, {"residuals": np.full(200, 4.5)}),
        ({}, {"residuals": np.zeros((2, 100))}),
        ({}, {"residuals": np.zeros(0)}),
        ({}, {"residuals": np.zeros(200, dtype=np.float32)}),
        ({}, {"residuals": None}),
    ],
)
def test_a_damaged_calibration_is_refused(facts, arrays):
    good_facts, good_arrays = fitted().to_state()
    with pytest.raises(DamagedArtifact, match="stored calibration is damaged"):
        Calibration.from_state(good_facts | facts, good_arrays | arrays)
    with pytest.raises(DamagedArtifact, match="stored calibration is damaged"):
        Calibration.from_state({}, {})


def test_what_cannot_be_calibrated_is_refused():
    for scores, truth, groups in (
        ([], [], None),
        ([3.0], [3.0, 4.0], None),
        ([3.0], [3.0], ["a", "b"]),
    ):
        with pytest.raises(UsageError, match="as many truths"):
            Calibration.fit(scores, truth, BINS, groups)
    with pytest.raises(UsageError, match="NaN or off the scale"):
        Calibration.fit([3.0], [np.nan], BINS)
    with pytest.raises(UsageError, match="list of finite numbers"):
        Calibration.fit([np.nan], [3.0], BINS)
    with pytest.raises(UsageError, match="list of finite numbers"):
        fitted().distribution([[3.0]])
    with pytest.raises(UsageError, match="between 0 and 1; got 90"):
        fitted().interval([3.0], 90)
    with pytest.raises(UsageError, match="2 groups for 1 scores"):
        fitted().interval([3.0], groups=["a", "b"])
