"""Laws of evaluate(truth, predicted): whatever holds the numbers, they are the same."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import ensemble
from base_models.errors import UsageError
from base_models.metrics.evaluate import Truth
from base_models.metrics.evaluate import evaluate as evaluate_aspects
from ensemble import evaluate

RNG = np.random.default_rng(0)
N = 60
CLIPS = [f"c{k}" for k in range(N)]
TRUTH = pd.Series(RNG.uniform(1, 5, N), index=CLIPS)
SCORES = TRUTH + RNG.normal(0, 0.4, N)
SYSTEMS = pd.Series([f"s{k % 8}" for k in range(N)], index=CLIPS)
EXPECTED = evaluate_aspects(
    TRUTH.to_numpy(), SCORES.to_numpy(), SYSTEMS.tolist(), ["score"], n_bootstrap=50
)


@pytest.mark.parametrize(
    ("truth", "scores", "systems"),
    [
        (TRUTH.to_numpy(), SCORES.to_numpy(), SYSTEMS.to_numpy()),
        (TRUTH.tolist(), SCORES.tolist(), SYSTEMS.tolist()),
        (TRUTH, SCORES.sample(frac=1, random_state=0), SYSTEMS.to_dict()),
        (TRUTH.to_dict(), SCORES.to_dict(), SYSTEMS.sample(frac=1, random_state=1)),
        (TRUTH.to_numpy()[:, None], tuple(SCORES), iter(SYSTEMS)),
        (TRUTH, SCORES.tolist(), SYSTEMS),
    ],
)
def test_arrays_lists_series_and_mappings_give_the_same_numbers(truth, scores, systems):
    found = evaluate(truth, scores, systems=systems, n_bootstrap=50)
    pd.testing.assert_frame_equal(pd.DataFrame(found), EXPECTED)


def test_frames_and_mappings_of_aspects_keep_their_names():
    truth = pd.DataFrame({"mi": TRUTH, "ta": TRUTH[::-1].to_numpy()})
    scores = {"ta": truth["ta"] + 0.1, "mi": SCORES}
    found = evaluate(truth, scores, n_bootstrap=0)
    assert list(dict.fromkeys(found["aspect"])) == ["mi", "ta"]
    assert found.of("mse", aspect="ta") == pytest.approx(0.01)
    assert found.of("srcc", aspect="mi") > 0.9
    with pytest.raises(UsageError, match="Name an aspect; there are 'mi', 'ta'"):
        found.of("srcc")
    alone = evaluate(truth, scores, aspects=["ta"], n_bootstrap=0)
    assert set(alone["aspect"]) == {"ta"}


def test_without_systems_there_is_one_column_to_read():
    found = evaluate(TRUTH, SCORES, n_bootstrap=0)
    lines = str(found).splitlines()
    assert lines[0] == "60 clips"
    assert lines[1].split() == ["per", "clip"]
    assert len(lines) == 6
    assert "per system" in str(evaluate(TRUTH, SCORES, SYSTEMS, n_bootstrap=0))


def test_what_is_printed_is_short_and_what_is_cut_out_is_a_frame():
    found = evaluate(TRUTH, SCORES, SYSTEMS, n_bootstrap=50)
    assert all(len(line) <= 79 for line in repr(found).splitlines())
    assert "60 clips of 8 systems" in repr(found)
    value = EXPECTED.loc[EXPECTED["metric"] == "srcc", "value"].iloc[0]
    assert f"SRCC  {value:.3f} [" in repr(found)
    part = found[["metric", "value"]]
    assert type(part) is pd.DataFrame
    assert "per clip" not in repr(part)
    assert "per clip" not in repr(found.drop(columns="note").rename(columns={"n": "k"}))
    assert found._repr_html_().startswith("<div>")


def test_scores_of_systems_can_be_known_apart():
    systems = pd.DataFrame({"score": np.linspace(1, 5, 8)}, [f"s{k}" for k in range(8)])
    found = evaluate(Truth(TRUTH.to_numpy(), systems), SCORES, SYSTEMS, n_bootstrap=0)
    assert found.of("mse", "system") > 0.5


@pytest.mark.parametrize(
    ("truth", "scores", "systems", "message"),
    [
        ([1, 2], [1], None, "2 labels and 1 predictions; give one of each per clip"),
        (["x", 2], [1, 2], None, "The labels are no numbers"),
        ({"a": 1, "b": 2}, {"a": 1, "c": 2}, None, "Clips 'b', 'c' have a label or"),
        ([1, 2], [1, np.nan], None, "Prediction of row 1"),
        (TRUTH, SCORES, {"c0": "s"}, "'c1', .* have no system"),
        ([1, 2], [1, 2], {"a": "s"}, "Systems by clip need labels by clip"),
    ],
)
def test_what_does_not_fit_together_is_refused(truth, scores, systems, message):
    with pytest.raises(UsageError, match=message):
        evaluate(truth, scores, systems=systems)
    with pytest.raises(UsageError, match=r"Unknown metric 'rmse'"):
        evaluate([1, 2, 3], [1, 2, 2], n_bootstrap=0).of("rmse")


def test_it_is_the_evaluate_of_the_package():
    assert ensemble.evaluate is evaluate
