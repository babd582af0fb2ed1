"""`StackedMOS.compare`: systems by the scores of their clips."""

import numpy as np
import pandas as pd
import pytest

from base_models.errors import UsageError
from base_models.scales import Scale
from ensemble import StackedMOS
from ensemble.rate_less import join_ratings


@pytest.fixture(scope="module")
def clips():
    rng = np.random.default_rng(0)
    systems = np.repeat([f"s{k}" for k in range(12)], 16)
    level = np.repeat(rng.uniform(2, 4, 12), 16)
    labels = np.clip(level + 0.5 * rng.normal(size=len(level)), 1, 5)
    scores = {
        name: np.clip(labels + 0.4 * rng.normal(size=len(labels)), 1, 5)
        for name in ("a", "b")
    }
    ids = [f"c{k}" for k in range(len(labels))]
    return pd.DataFrame({"clip_id": ids, "system_id": systems, "mos": labels, **scores})


@pytest.fixture(scope="module")
def stack(clips):
    labels = clips[["clip_id", "system_id", "mos"]]
    return StackedMOS.from_predictions(clips[["clip_id", "a", "b"]], labels)


@pytest.fixture
def new(clips):
    """Clips of two systems that were not fitted on, as their ids say."""
    return clips[:32].assign(clip_id=[f"n{k}" for k in range(32)])


def test_systems_are_compared_by_predictions_and_by_scores_alike(stack, new):
    X = new[["clip_id", "a", "b"]]
    found = stack.compare(X, by=new["system_id"])
    means = found.systems.set_index("system_id")["mean"]
    expected = (
        pd.Series(stack.predict(X).ravel()).groupby(new["system_id"].to_numpy()).mean()
    )
    assert means["s0"] == pytest.approx(expected["s0"])
    assert found.differences["error_systems"][0] > 0
    assert "learnt from 12 systems" in " ".join(found.notes)

    low, high = stack.predict_interval(X)
    scores = new[["clip_id", "system_id"]].assign(
        mos=stack.predict(X).ravel(), mos_low=low[:, 0], mos_high=high[:, 0]
    )
    other = stack.compare(scores)
    columns = ["difference", "low", "high", "p"]
    np.testing.assert_allclose(other.differences[columns], found.differences[columns])
    assert other.differences["preferred"][0] == pytest.approx(
        found.differences["preferred"][0], abs=0.05
    )


def test_ratings_power_the_means(stack, new):
    ratings = new[::3][["clip_id", "mos"]].assign(rater_id="r")
    found = stack.compare(new[["clip_id", "a", "b"]], new["system_id"], ratings)
    assert found.systems["n_rated"].sum() == 11
    assert found.differences["error_systems"][0] == 0
    with pytest.raises(UsageError, match="No rated clip is among those to compare"):
        stack.compare(
            new[["clip_id", "a", "b"]], new["system_id"], ratings.assign(clip_id="x")
        )


def test_clips_that_were_fitted_on_are_named(stack, clips):
    found = stack.compare(clips[["clip_id", "a", "b"]], clips["system_id"])
    assert "fitted on 192 of these clips" in " ".join(found.notes)


def test_systems_have_to_be_told_apart(stack, new):
    X = new[["clip_id", "a", "b"]]
    with pytest.raises(UsageError, match="no column 'system_id' to tell"):
        stack.compare(X)
    with pytest.raises(UsageError, match="1 rows name no system"):
        stack.compare(X, by=["", *new["system_id"][1:]])
    with pytest.raises(UsageError, match="All 32 clips are by one system, 'x'"):
        stack.compare(X, by=["x"] * 32)


def test_ratings_join_scores_on_their_own_scale(tmp_path):
    table = pd.DataFrame(
        {
            "clip_id": ["a", "b"],
            "system_id": ["s", "t"],
            "prompt": "",
            "audio": "",
            "pred_mos": [1.0, 3.0],
        }
    )
    (tmp_path / "r.csv").write_text("clip_id,rater_id,mos\na,r,20\nc,r,90\n")
    data = join_ratings(
        table, {"mos": Scale(1, 5)}, str(tmp_path / "r.csv"), rating_scale=[0, 100]
    )
    assert data.clips["pred_mos"].tolist() == [0, 50]
    assert data.ratings["clip_id"].tolist() == ["a"]
    assert data.rated_without_prediction == ["c"]
    with pytest.raises(UsageError, match="rates 'mos', and the stack scores 'mi'"):
        join_ratings(
            table, {"mi": Scale(1, 5)}, str(tmp_path / "r.csv"), rating_scale=[0, 100]
        )


def test_a_comparison_shows_itself_in_a_line_and_prints_its_sentences(stack, new):
    found = stack.compare(new[["clip_id", "a", "b"]], by=new["system_id"])
    assert repr(found).startswith("<SystemComparison: 2 systems in mos; ")
    assert repr(found).endswith(" of 1 differences shown>")
    assert found.differences["said"][0] in str(found)
    assert all(note in str(found) for note in found.notes)
