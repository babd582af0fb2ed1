"""Clips that come back under another name have equal predictions by all models."""

import numpy as np
import pytest

from base_models.predictions import PredictionTable
from meta.splits.equal_predictions import equal_predictions
from meta.splits.leak_audit import audit


def tables(prefix, scores):
    """One table per column of scores, whose clips are numbered."""
    ids = [f"{prefix}{k}" for k in range(len(scores))]
    return ids, [
        PredictionTable.from_scores(f"m{column}", ids, ("mos",), scores[:, column])
        for column in range(scores.shape[1])
    ]


def found(fitted, judging):
    fit_ids, fit_tables = tables("d", fitted)
    ids, judge_tables = tables("t", judging)
    return equal_predictions(fit_tables, fit_ids, judge_tables, ids)


def predictions(rng, n, models=3, decimals=6):
    quality = rng.uniform(1.5, 4.5, (n, 1))
    return np.round(np.clip(quality + rng.normal(0, 0.3, (n, models)), 1, 5), decimals)


@pytest.mark.parametrize("models", [1, 3, 12])
@pytest.mark.parametrize("n_again", [1, 20])
def test_fitted_clips_that_judge_again_are_found(models, n_again):
    rng = np.random.default_rng(0)
    fitted = predictions(rng, 100, models)
    judging = np.concatenate([fitted[:n_again], predictions(rng, 50, models)])
    expected = {f"t{k}": f"d{k}" for k in range(n_again)}
    # One pair of a single predictor may be an accident at four decimals.
    if (models, n_again) == (1, 1):
        expected = {}
    assert found(fitted, judging) == expected


@pytest.mark.parametrize("decimals", [0, 1, 2, 6])
@pytest.mark.parametrize("models", [1, 2, 8])
def test_coarse_predictions_of_other_clips_are_not_taken_for_equal(decimals, models):
    rng = np.random.default_rng(decimals)
    for _ in range(20):
        fitted = predictions(rng, 100, models, decimals)
        judging = predictions(rng, 60, models, decimals)
        assert found(fitted, judging) == {}


def test_constant_predictors_and_disjoint_models_tell_nothing():
    assert found(np.full((30, 2), 3.0), np.full((30, 2), 3.0)) == {}
    rng = np.random.default_rng(0)
    fitted = predictions(rng, 30, 2)
    ids, (first, second) = tables("d", fitted)
    judging, (_, other) = tables("t", fitted)
    assert equal_predictions([first], ids, [other], judging) == {}
    assert equal_predictions([second], ids, [other], []) == {}


def test_equal_predictions_and_spellings_are_named_by_the_audit():
    rng = np.random.default_rng(0)
    fitted = predictions(rng, 40)
    fit_ids, fit_tables = tables("d", fitted)
    rows = {"meta-training": fit_ids, "test": ["t0", "D7", "new"]}
    (overlap,) = audit(fit_tables, rows, equal={"t0": "d3"}).overlaps
    assert overlap.clip_ids == ("t0", "D7")
    assert overlap.known_as == ("d3", "d7")
    assert overlap.known_by == ("predictions", "spelling")
    assert str(overlap) == (
        "Clips 't0 (the predictions of d3)', 'D7 (but for its spelling d7)' are in "
        "meta-training and in test"
    )
    assert overlap.mark() == (
        "leaky: 2 clips of test are in meta-training too, 1 by their spelling, 1 by "
        "their predictions"
    )


def test_ids_that_differ_in_case_on_purpose_are_other_clips():
    rows = {"meta-training": ["aB", "Ab"], "test": ["ab"]}
    assert audit([], rows).overlaps == ()
    rows = {"meta-training": ["ab"], "test": ["AB"]}
    assert audit([], rows, {"ab": "1", "AB": "2"}).overlaps == ()
    assert len(audit([], rows, {"ab": "1", "AB": None}).overlaps) == 1
