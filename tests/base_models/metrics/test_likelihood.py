"""Laws of the likelihood of single ratings.

The raters' own histograms have the most; clips or systems are resampled, not ratings.
"""

import numpy as np
import pandas as pd
import pytest

from base_models.bins import ScoreBins
from base_models.clips.listening_tests.rating_histograms import histograms
from base_models.errors import UsageError
from base_models.metrics.likelihood import FLOOR, likelihood
from base_models.predictions import PredictionTable

BINS, N = ScoreBins(), 12
IDS = [f"c{k}" for k in range(N)]


@pytest.fixture
def ratings():
    rng = np.random.default_rng(0)
    rows = [
        (clip, f"R{r}", float(rng.integers(1, 6)))
        for k, clip in enumerate(IDS)
        for r in range(1 + k % 4)
    ]
    return pd.DataFrame(rows, columns=["clip_id", "rater_id", "mos"])


def table(distributions, name="m", **options):
    distributions = np.broadcast_to(distributions, (N, 20))[:, None]
    return PredictionTable(name, IDS, ["mos"], distributions, **options)


def only(frame):
    (row,) = frame.itertuples()
    return row


def test_it_is_the_mean_over_ratings_of_the_shared_log_probability(ratings):
    p = np.random.default_rng(1).dirichlet(np.ones(20), N)
    logs = [
        BINS.split(r.mos) @ np.log(p[IDS.index(r.clip_id)])
        for r in ratings.itertuples()
    ]
    found = only(likelihood(table(p), ratings))
    assert found.value == pytest.approx(np.mean(logs))
    assert (found.ratings, found.clips) == (len(ratings), N)
    assert found.low < found.value < found.high
    assert only(likelihood(table(np.full(20, 0.05)), ratings)).value == pytest.approx(
        -np.log(20)
    )


def test_no_predictions_are_likelier_than_the_raters_own_histograms(ratings):
    own = table(histograms(ratings, IDS, "mos", BINS), "own")
    best = only(likelihood(own, ratings)).value
    rng = np.random.default_rng(2)
    for _ in range(20):
        other = table(0.9 * own.of("mos") + 0.1 * rng.dirichlet(np.ones(20), N))
        assert only(likelihood(other, ratings)).value < best


def test_an_impossible_rating_costs_the_floor():
    ratings = pd.DataFrame({"clip_id": ["c0"], "rater_id": ["R"], "mos": [5.0]})
    found = only(likelihood(table(np.eye(20)[0]), ratings))
    assert found.value == pytest.approx(np.log(FLOOR))
    assert (found.ratings, found.clips) == (1, 1)


def test_whole_systems_are_resampled_and_one_system_means_clips(ratings):
    p = table(np.random.default_rng(1).dirichlet(np.ones(20), N))
    few = only(likelihood(p, ratings, [f"s{k // 4}" for k in range(N)]))
    assert np.isnan([few.low, few.high]).all()
    assert few.note == "too few systems"
    systems = [f"s{k % 5}" for k in range(N)]
    by_clip, by_system = (
        only(likelihood(p, ratings)),
        only(likelihood(p, ratings, systems)),
    )
    assert by_clip.value == by_system.value
    assert (by_clip.low, by_clip.high) != (by_system.low, by_system.high)
    pd.testing.assert_frame_equal(
        likelihood(p, ratings, ["one"] * N), likelihood(p, ratings)
    )
    logs = {}
    for name in set(systems):
        clips = [
            clip for clip, system in zip(IDS, systems, strict=True) if system == name
        ]
        logs[name] = only(likelihood(p, ratings[ratings["clip_id"].isin(clips)])).value
    # A resample may be one system alone, but no further away than that.
    assert min(logs.values()) <= by_system.low < by_system.value
    assert by_system.value < by_system.high <= max(logs.values())
    pd.testing.assert_frame_equal(
        likelihood(p, ratings.sample(frac=1, random_state=0)), likelihood(p, ratings)
    )


def test_what_cannot_be_measured_is_refused(ratings):
    uniform = np.full(20, 0.05)
    with pytest.raises(UsageError, match="Clips 'c3' were used to train 'm'"):
        likelihood(table(uniform, selected_on=frozenset({"c3"})), ratings)
    with pytest.raises(
        UsageError, match=r"None of the 12 clips has a single rating of 'mos'"
    ):
        likelihood(
            table(uniform),
            ratings.assign(clip_id="x" + ratings["clip_id"] + ratings["rater_id"]),
        )
    with pytest.raises(
        UsageError,
        match=r"There are predictions of 'mos', and ratings of "
        r"'clip_id', 'rater_id', 'mi'",
    ):
        likelihood(table(uniform), ratings.rename(columns={"mos": "mi"}))
    with pytest.raises(UsageError, match="2 system ids for 12 clips"):
        likelihood(table(uniform), ratings, ["a", "b"])
    with pytest.raises(UsageError, match="off the scale"):
        likelihood(table(uniform), ratings.assign(mos=50.0))
