"""Laws of the tables of powered means: what they hold, and what they say in words."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rated_systems import World

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from meta.powered_means.powered_means import MEAN_COLUMNS, powered_means
from meta.powered_means.rated_sample import RatedSample


def sample_of(world=None, seed=0):
    return (world or World()).draw(np.random.default_rng(seed))[0]


def only(sample, rows):
    """The same with these rows of its ratings."""
    rater = None if sample.rater is None else sample.rater[rows]
    return replace(
        sample,
        clip_of=sample.clip_of[rows],
        ratings=sample.ratings[rows],
        rater=rater,
    )


def words(found):
    return " ".join(found.notes)


def test_there_is_a_row_per_system_and_one_of_the_corpus():
    found = powered_means(sample_of())
    means = found.means
    assert tuple(means) == MEAN_COLUMNS
    assert means["level"].tolist() == ["system"] * 10 + ["corpus"]
    assert means["rated_clips"].tolist() == [5] * 10 + [50]
    assert means["human"].iloc[-1] == pytest.approx(means["human"].iloc[:-1].mean())
    for name in ("human", "powered"):
        assert (means[f"{name}_low"] < means[name]).all()
        assert (means[name] < means[f"{name}_high"]).all()
    assert len(found.differences) == 45
    assert found.helps
    assert found.design == "systems"


def test_the_effective_number_of_ratings_is_the_ratio_of_the_variances():
    # Where all systems have many rated clips, t quantiles are alike.
    found = powered_means(sample_of(World(rated=40, clips=400, correlation=0.9)))
    means = found.means
    width = {
        name: means[f"{name}_high"] - means[f"{name}_low"]
        for name in ("human", "powered")
    }
    ratio = (width["human"] / width["powered"]) ** 2
    expected = means["ratings"] * ratio
    assert means["effective_ratings"].to_numpy() == pytest.approx(
        expected.to_numpy(), rel=0.02
    )


def test_differences_are_those_of_the_means_and_adjusted_by_holm():
    found = powered_means(sample_of())
    mean = found.means.set_index("system")["powered"]
    row = found.differences.iloc[7]
    assert row["powered"] == pytest.approx(mean[row["first"]] - mean[row["second"]])
    one_pair = powered_means(sample_of(), compare=["s00", "s01"]).differences
    assert len(one_pair) == 1
    same = found.differences.query("first == 's00' and second == 's01'").iloc[0]
    assert one_pair["powered_low"].iloc[0] == pytest.approx(same["powered_low"])
    assert one_pair["powered_p"].iloc[0] <= same["powered_p"]
    # By itself, an interval without 0 goes with p below .05.
    row = one_pair.iloc[0]
    excludes = not row["powered_low"] < 0 < row["powered_high"]
    assert excludes == (row["powered_p"] < 0.05)


def test_no_difference_is_found_more_often_than_its_level():
    rng = np.random.default_rng(0)
    found = []
    for _ in range(150):
        world = World(systems=6, rated=4)
        sample, means, _ = world.draw(rng)
        equal = replace(
            sample,
            predictions=sample.predictions - means[sample.system],
            ratings=sample.ratings - means[sample.system[sample.clip_of]],
        )
        found.append(powered_means(equal).differences["powered_p"].min() <= 0.05)
    assert np.mean(found) < 0.1


def test_a_system_without_a_rated_clip_has_no_mean_and_the_corpus_is_one_sample():
    sample = sample_of()
    kept = sample.system[sample.clip_of] != 3
    found = powered_means(only(sample, kept))
    row = found.means.iloc[3]
    assert row["rated_clips"] == 0
    assert np.isnan(row["powered"])
    assert np.isnan(row["effective_ratings"])
    assert found.unrated == ("s03",)
    assert found.design == "corpus"
    assert "s03" not in set(found.differences["first"])
    assert np.isfinite(found.means["powered"].iloc[-1])
    with pytest.raises(UsageError, match=r"1 systems have no rated clip \('s03'\)"):
        powered_means(only(sample, kept), design="systems")
    with pytest.raises(UsageError, match="System 's03' has no rated clip"):
        powered_means(only(sample, kept), compare=["s03", "s04"])


def test_a_sample_of_the_corpus_gains_from_what_systems_differ_by():
    sample = sample_of(World(systems=20, of_corpus=True))
    of_corpus, of_systems = (
        powered_means(only(sample, np.arange(100)), design=design).means.iloc[-1]
        for design in ("corpus", "auto")
    )
    assert of_corpus["effective_ratings"] > 1.3 * of_corpus["ratings"]
    assert of_systems["effective_ratings"] >= of_systems["ratings"]


def test_one_rated_clip_of_a_system_takes_its_scatter_from_the_others():
    sample = sample_of()
    drop = np.flatnonzero(sample.system[sample.clip_of] == 2)[1:]
    found = powered_means(only(sample, np.delete(np.arange(50), drop)))
    assert np.isfinite(found.means["powered_low"].iloc[2])
    assert "1 systems have one rated clip ('s02')" in words(found)


def test_one_rated_clip_beside_one_other_system_has_no_interval():
    sample = sample_of(World(systems=2, rated=8))
    drop = np.flatnonzero(sample.system[sample.clip_of] == 1)[1:]
    found = powered_means(only(sample, np.delete(np.arange(16), drop)))
    assert np.isnan(found.means["human_low"].iloc[1])
    assert np.isfinite(found.means["powered_low"].iloc[0])
    assert "too few others" in words(found)


def test_one_rated_clip_of_every_system_gives_no_interval_of_a_system():
    found = powered_means(sample_of(World(rated=1)))
    assert found.means["human_low"].isna().all()
    assert found.means["human"].notna().all()
    assert "No system has two rated clips" in words(found)
    assert found.differences["human_p"].isna().all()
    corpus = powered_means(sample_of(World(rated=1)), design="corpus").means.iloc[-1]
    assert np.isfinite(corpus["human_low"])


def test_no_mean_lies_beyond_the_scale_and_no_other_number_moves():
    sample = sample_of()
    free = powered_means(sample)
    low, high = np.nanquantile(free.means["powered"], [0.3, 0.7])
    bound = powered_means(sample, bins=ScoreBins(low, high))
    pd.testing.assert_frame_equal(bound.differences, free.differences)
    names = [name for name in free.means if name.startswith(("human", "powered"))]
    pd.testing.assert_frame_equal(bound.means[names], free.means[names].clip(low, high))
    others = free.means.columns.drop(names)
    pd.testing.assert_frame_equal(bound.means[others], free.means[others])


def test_equal_ratings_are_no_certainty():
    sample = sample_of()
    found = powered_means(replace(sample, ratings=np.full(50, 3.0)))
    assert found.means["human_low"].isna().all()
    assert "All ratings of each system are equal" in words(found)


def test_ratings_that_are_the_predictions_are_no_certainty():
    sample = sample_of()
    copied = replace(sample, ratings=sample.predictions[sample.clip_of])
    found = powered_means(copied)
    assert found.means["powered_low"].isna().all()
    assert "follow the predictions exactly" in words(found)
    assert np.isfinite(found.means["human_low"]).all()
    everything = sample_of(World(clips=5))
    rated = everything.predictions[everything.clip_of]
    found = powered_means(replace(everything, ratings=rated))
    assert "follow the predictions exactly" in words(found)


def test_predictions_that_help_nothing_are_said_to():
    found = powered_means(sample_of(World(correlation=0.0)))
    assert not found.helps
    assert "The predictions help nothing here" in words(found)
    few = powered_means(sample_of(World(systems=1, rated=4)))
    assert "Too few rated clips to weigh the predictions by" in words(few)
    everything = powered_means(sample_of(World(clips=5)))
    assert "Every clip is rated" in words(everything)
    assert everything.means["lambda"].to_numpy() == pytest.approx(np.zeros(11))


def test_what_raters_are_not_known_of_is_said():
    assert "Raters are not known" in words(powered_means(sample_of()))
    known = World(raters=8, of_raters=0.3)
    assert "ater" not in words(powered_means(sample_of(known)))
    one = World(raters=1)
    assert "One rater rated everything" in words(powered_means(sample_of(one)))


def test_exactly_these_clips_need_two_ratings_of_some_for_a_short_interval():
    single = powered_means(sample_of(World(rated=40)), population="clips")
    assert "No clip has two ratings" in words(single)
    double = powered_means(sample_of(World(rated=40, per_clip=2)), population="clips")
    assert "No clip has two ratings" not in words(double)


def test_clips_that_were_chosen_by_their_predictions_are_noticed():
    sample = sample_of(World(rated=60))
    place = np.argsort(np.argsort(sample.predictions[sample.clip_of]))
    found = powered_means(only(sample, place > 450))
    assert "higher predictions than the others" in words(found)
    assert "were they drawn at random?" in words(found)
    plain = powered_means(sample_of())
    assert "drawn at random" not in words(plain)


def test_random_samples_are_seldom_suspected():
    rng = np.random.default_rng(0)
    suspected = []
    for of_corpus in (False, True):
        for _ in range(100):
            sample, _, _ = World(of_corpus=of_corpus, rated=4).draw(rng)
            design = "corpus" if of_corpus else "auto"
            notes = words(powered_means(sample, design=design))
            suspected.append("random" in notes)
    assert np.mean(suspected) < 0.05


def test_a_sample_of_the_corpus_that_prefers_systems_is_noticed():
    sample = sample_of(World(rated=30))
    kept = (sample.system[sample.clip_of] < 2) | (np.arange(300) % 10 == 0)
    found = powered_means(only(sample, kept), design="corpus")
    assert "numbers of rated clips per system are not those" in words(found)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"population": "all"}, "Unknown population 'all'"),
        ({"design": "stratified"}, "Unknown design 'stratified'"),
        ({"level": 95}, "between 0 and 1; got 95"),
        ({"compare": ["s00", "s99"]}, "Unknown system 's99'"),
        ({"compare": ["s00"]}, "at least two systems"),
    ],
)
def test_an_option_that_cannot_be_used_is_refused(options, message):
    with pytest.raises(UsageError, match=message):
        powered_means(sample_of(), **options)


def test_nothing_rated_is_refused():
    with pytest.raises(UsageError, match="No clip is rated"):
        powered_means(only(sample_of(), np.arange(0)))


# ---- tables


CLIPS = pd.DataFrame(
    {
        "clip_id": ["a", "b", "c", "d"],
        "system_id": ["x", "x", "y", "y"],
        "prediction": [1.0, 2.0, 3.0, 4.0],
        "prompt": ["p", "", "p", ""],
    }
)
RATINGS = pd.DataFrame(
    {"clip_id": ["a", "a", "c"], "rater_id": ["r", "s", "r"], "mos": [1.0, 2.0, np.nan]}
)


def test_a_sample_is_made_from_tables():
    sample = RatedSample.from_tables(CLIPS, RATINGS, "mos")
    assert sample.system_names == ("x", "y")
    assert sample.prompt.tolist() == [0, -1, 0, -1]
    assert sample.ratings.tolist() == [1.0, 2.0]
    assert sample.clip_means[0] == 1.5
    assert np.isnan(sample.clip_means[1:]).all()
    assert sample.rated_per_system.tolist() == [1, 0]


@pytest.mark.parametrize(
    ("clips", "ratings", "message"),
    [
        (CLIPS.assign(clip_id=["a", "a", "c", "d"]), RATINGS, "'a': predicted twice"),
        (
            CLIPS.assign(system_id=["x", "", "y", "y"]),
            RATINGS,
            r"1 clips have no system \('b'\)",
        ),
        (
            CLIPS.assign(prediction=[1.0, np.nan, 3.0, np.inf]),
            RATINGS,
            r"2 predictions are not finite numbers \('b', 'd'\)",
        ),
        (CLIPS.iloc[1:], RATINGS, r"1 rated clips have no prediction \('a'\)"),
    ],
)
def test_tables_that_make_no_sample_are_refused(clips, ratings, message):
    with pytest.raises(UsageError, match=message):
        RatedSample.from_tables(clips, ratings, "mos")
