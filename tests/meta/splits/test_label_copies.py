"""A predictor that is the labels is refused; an honest one never is."""

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA

from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from meta.rows import Rows
from meta.splits.label_copies import label_copies, refuse_label_copies

N = 120
SYSTEMS = np.repeat([f"s{k}" for k in range(12)], 10)
REAL = SHARED_DATA / "bvcc-predictions" / "val_half.csv"


def mean_ratings(rng, n=N, raters=8):
    """Labels: means of whole ratings, of clips of 12 systems."""
    quality = rng.uniform(1.5, 4.5, 12)[np.arange(n) * 12 // n]
    heard = (
        quality[:, None] + rng.normal(0, 0.8, (n, 1)) + rng.normal(0, 1, (n, raters))
    )
    return np.clip(np.round(heard), 1, 5).mean(axis=1)


LABELS = mean_ratings(np.random.default_rng(0))
MEANS = pd.Series(LABELS).groupby(SYSTEMS).transform("mean").to_numpy()


def copies_of(scores, labels=LABELS, systems=SYSTEMS):
    ids = [f"c{k}" for k in range(len(labels))]
    table = PredictionTable.from_scores("x", ids, ("mos",), scores)
    return label_copies([table], Rows.of(ids, labels, ["mos"], systems=systems))


def noise(size):
    return np.random.default_rng(1).normal(0, size, N)


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        (LABELS, "the labels"),
        (LABELS + noise(0.02), "the labels"),
        (LABELS + noise(0.055), "the labels"),
        (0.5 * LABELS + 1, "the scaled labels"),
        (6 - LABELS, "the scaled labels"),
        (0.5 * LABELS + 1 + noise(0.01), "the scaled labels"),
        (MEANS, "the system means of the labels"),
        (0.5 * MEANS + 1, "the system means of the labels"),
        (MEANS + noise(0.02), "the system means of the labels"),
        ((10 * MEANS - LABELS) / 9, "the mean label of the other clips of the system"),
        (np.sqrt(LABELS), "one value for each label"),
    ],
)
def test_labels_in_any_form_are_found(scores, kind):
    (found,) = copies_of(scores)
    assert (found.model, found.aspect, found.kind) == ("x", "mos", kind)


def test_the_refusal_names_predictor_kind_and_cure_in_one_line():
    ids = [f"c{k}" for k in range(N)]
    table = PredictionTable.from_scores("mean_rating", ids, ("mos",), LABELS)
    with pytest.raises(
        UsageError,
        match=r"'mean_rating' predicts the labels of 'mos' to the last digit, nearer "
        r"than the noise .* Leave that column out",
    ) as caught:
        refuse_label_copies([table, table], Rows.of(ids, LABELS, ["mos"]))
    assert "(1 more such.)" in str(caught.value)
    assert len(str(caught.value)) <= 500
    assert "\n" not in str(caught.value)


def test_gaps_of_labels_and_of_predictions_hide_no_copy():
    ids = [f"c{k}" for k in range(N)]
    labels = np.where(np.arange(N) % 3 == 0, np.nan, LABELS)
    table = PredictionTable.from_scores("x", ids[20:], ("mos",), LABELS[20:])
    assert label_copies([table], Rows.of(ids, labels, ["mos"]))
    assert label_copies([table], Rows.of(ids[:20], LABELS[:20], ["mos"])) == []


def test_predictors_that_know_the_truth_are_no_copies():
    rng = np.random.default_rng(0)
    for trial in range(300):
        n = int(rng.choice([10, 30, 100]))
        raters = int(rng.choice([1, 2, 4, 8, 20]))
        truth = rng.uniform(1, 5, n)
        heard = truth[:, None] + rng.normal(0, 0.6, (n, raters))
        labels = np.clip(np.round(heard), 1, 5).mean(axis=1)
        systems = [f"s{k % 8}" for k in range(n)]
        assert copies_of(truth, labels, systems) == [], trial


def test_random_tables_of_ten_clips_hold_no_copies():
    rng = np.random.default_rng(0)
    systems = [f"s{k % 4}" for k in range(10)]
    for trial in range(500):
        labels = np.round(rng.uniform(1, 5, 10), int(rng.integers(0, 3)))
        scores = np.round(rng.uniform(1, 5, 10), int(rng.integers(0, 3)))
        assert copies_of(scores, labels, systems) == [], trial


def test_a_few_rows_or_values_tell_nothing():
    labels = np.array([1.0, 2, 3, 4, 5])
    assert copies_of(labels, labels, None) == []
    binary = np.tile([2.0, 3.0], 6)
    assert copies_of(np.full(12, 3.0), np.arange(12) / 4 + 1, None) == []
    assert copies_of(binary, binary, None) == []
    assert copies_of(binary, np.full(12, 3.0), None) == []


@pytest.mark.skipif(not REAL.is_file(), reason="the shared data is not there")
def test_no_published_predictor_of_speech_is_taken_for_the_labels():
    frame = pd.read_csv(REAL)
    about = ["utterance", "system", "mos", "mos_std", "n_ratings"]
    models = [name for name in frame if name not in about]
    tables = [
        PredictionTable.from_scores(name, frame["utterance"], ("mos",), frame[name])
        for name in models
    ]
    rows = Rows.of(frame["utterance"], frame["mos"], ["mos"], systems=frame["system"])
    assert len(tables) == 51
    assert label_copies(tables, rows) == []
