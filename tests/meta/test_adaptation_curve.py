"""What so many rated clips would give, by draws of those at hand."""

import numpy as np
import pytest
from builders import Predictor, fit_measured, prediction_tables, rows_of_tables

from base_models.errors import UsageError
from base_models.metrics.evaluate import srcc
from meta.adaptation import adapt
from meta.adaptation_curve import (
    FEWEST_JUDGES,
    AdaptationDraws,
    adaptation_curve,
    draw_adaptations,
)
from meta.regressor import MetaRegressor

PREDICTORS = {"a": Predictor(noise=0.3), "b": Predictor(noise=0.6)}
SHIFTED = {"a": Predictor(noise=0.4, bias=0.8, gain=0.6), "b": Predictor(bias=0.8)}


def corpus(n, seed, predictors=PREDICTORS, aspects=("mi", "ta")):
    rng = np.random.default_rng(seed)
    y = rng.uniform(1.5, 4.5, (n, len(aspects)))
    ids = [f"{seed}-{k:03d}" for k in range(n)]
    return prediction_tables(y, predictors, ids=ids, rng=rng, aspects=aspects), y


def curve_of(*known, **options):
    return adaptation_curve(draw_adaptations(*known, **options))


def fitted(learner="ridge"):
    tables, y = corpus(90, 0)
    regressor = MetaRegressor(learner)
    systems = [f"s{k % 8}" for k in range(90)]
    fit_measured(regressor, tables, rows_of_tables(tables, y, systems=systems))
    return regressor


OLD = fitted()


def test_more_rated_clips_of_another_test_give_smaller_errors():
    tables, y = corpus(60, 1, SHIFTED)
    curve = curve_of(OLD, tables, rows_of_tables(tables, y), draws=20)
    assert curve.columns.tolist()[:4] == ["aspect", "clips", "metric", "mean"]
    for aspect in ("mi", "ta"):
        own = curve[curve["aspect"] == aspect].set_index(["metric", "clips"])
        assert own.loc["mse"].index.tolist() == [0, 3, 10, 30]
        assert own.loc["mse", "mean"].is_monotonic_decreasing
        assert (own["low"] <= own["mean"]).all()
        assert (own["mean"] <= own["high"]).all()
        assert (own["low"] < own["high"]).all()
        assert set(own["judged"]) == {30}
        assert set(own["draws"]) == {20}
        assert own.loc[("mse", 0), "kept"] == 0
        assert own.loc[("mse", 30), "kept"] == 1


def test_a_number_is_what_adapting_to_the_drawn_clips_gives():
    tables, y = corpus(25, 2, SHIFTED)
    rows = rows_of_tables(tables, y)
    curve = curve_of(OLD, tables, rows, draws=1, seed=7)
    order = np.random.default_rng(7).permutation(25)
    judged = order[10:]
    for count in (0, 3, 10):
        drawn = rows.take(np.sort(order[:count]))
        scores = adapt(OLD, tables, drawn).predict(tables, rows.ids[judged].tolist())
        for k, aspect in enumerate(("mi", "ta")):
            own = curve[(curve["aspect"] == aspect) & (curve["clips"] == count)]
            found = own.set_index("metric")["mean"]
            truth = y[judged, k]
            assert found["mse"] == pytest.approx(np.mean((scores[:, k] - truth) ** 2))
            assert found["srcc"] == pytest.approx(srcc(truth, scores[:, k]))


def test_the_seed_and_not_the_order_of_the_clips_decides():
    tables, y = corpus(30, 3, SHIFTED)
    rows = rows_of_tables(tables, y)
    options = {"draws": 4, "counts": (0, 3)}
    once = curve_of(OLD, tables, rows, **options)
    turned = rows.take(np.random.default_rng(0).permutation(30))
    assert once.equals(curve_of(OLD, tables, turned, **options))
    assert not once.equals(curve_of(OLD, tables, rows, seed=1, **options))


def test_each_aspect_has_the_numbers_that_its_own_labels_allow():
    tables, y = corpus(25, 4, SHIFTED)
    y[3 + FEWEST_JUDGES :, 1] = np.nan
    curve = curve_of(OLD, tables, rows_of_tables(tables, y), draws=2)
    tried = curve.groupby("aspect")["clips"].unique()
    assert tried["mi"].tolist() == [0, 3, 10]
    assert tried["ta"].tolist() == [0, 3]


def test_too_few_clips_for_any_number_are_refused():
    tables, y = corpus(12, 5, SHIFTED)
    with pytest.raises(UsageError, match=r"needs 13 rated clips of an aspect.* are 12"):
        curve_of(OLD, tables, rows_of_tables(tables, y))


def test_a_draw_of_equal_labels_adapts_nothing():
    tables, y = corpus(30, 6, SHIFTED)
    y[:, :] = np.where(np.arange(30)[:, None] < 29, 3.0, 4.0)
    curve = curve_of(OLD, tables, rows_of_tables(tables, y), counts=(0, 3), draws=5)
    mse = curve[curve["metric"] == "mse"]
    assert np.isfinite(mse["mean"]).all()


def test_a_learner_that_cannot_adapt_has_no_curve():
    tables, y = corpus(30, 7)
    with pytest.raises(UsageError, match="Mean cannot be adapted"):
        curve_of(fitted("mean"), tables, rows_of_tables(tables, y))


def test_what_more_clips_would_buy_is_followed_from_where_adaptations_are_kept():
    tables, y = corpus(60, 1, SHIFTED)
    drawn = draw_adaptations(OLD, tables, rows_of_tables(tables, y), draws=20)
    for one in drawn:
        mse, srcc = one.forecasts()
        assert (mse.now, mse.later, mse.largest) == (60, 110, 30)
        assert (mse.metric, srcc.metric) == ("mse", "srcc")
        assert mse.gain.low <= mse.gain.mean <= mse.gain.high
        # With no clip the stack is not adapted: that is no point of the curve.
        without = AdaptationDraws(
            one.aspect,
            one.counts[1:],
            one.measures[:, 1:],
            kept=one.kept[:, 1:],
            rated=one.rated,
        )
        assert without.forecasts() == one.forecasts()


def test_few_rated_clips_have_a_curve_and_no_forecast():
    tables, y = corpus(25, 2, SHIFTED)
    drawn = draw_adaptations(OLD, tables, rows_of_tables(tables, y), draws=5)
    for one in drawn:
        for forecast in one.forecasts():
            assert not forecast.is_shown
            assert "cannot be said from subsets of at most 10" in forecast.sentence
