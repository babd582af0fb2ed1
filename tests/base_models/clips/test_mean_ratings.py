"""Single ratings alone form labels: their means, with counts and intervals."""

import numpy as np
import pandas as pd
import pytest
from builders import SHARED_DATA, write_file
from scipy import stats

from base_models.clips.check import ProbedAudio, summarise_clips
from base_models.clips.labels import labels_onto
from base_models.clips.musiceval import PREFIX
from base_models.clips.ratings import find_ratings, mean_ratings, read_ratings
from base_models.clips.read_clips import read_clips
from base_models.errors import UsageError
from ensemble.training.rated_clips import RatedClips, add_ratings
from ensemble.training.training_setup import TrainingSetup

CODEC = SHARED_DATA / "codec-listening-test"


def long_table(rng, clips=12, raters=5):
    """A row per rating, in no order; every clip has its audio, system and prompt."""
    rows = []
    for k in range(clips):
        for rater in range(2 + k % (raters - 1)):
            described = (f"c{k:02d}", f"wav/{k}.wav", f"s{k % 3}", "slow piano")
            rows.append((*described, f"R{rater}", *rng.integers(1, 6, 2)))
    columns = ["clip_id", "audio", "system", "prompt", "listener", "mi", "ta"]
    table = pd.DataFrame(rows, columns=columns)
    return table.sample(frac=1, random_state=0)


@pytest.fixture
def path(tmp_path):
    table = long_table(np.random.default_rng(0))
    # What differs between the ratings of a clip says nothing of the clip.
    table["minutes"] = np.arange(len(table))
    table.to_csv(tmp_path / "ratings.csv", index=False)
    return tmp_path / "ratings.csv"


def test_a_table_of_single_ratings_is_read_as_the_means_of_its_clips(path):
    table = pd.read_csv(path)
    clips = read_clips(path).set_index("clip_id").sort_index()
    assert clips.attrs["aspects"] == ["mi", "ta"]
    assert clips.attrs["means_of"] == str(path)
    assert {"listener", "minutes"}.isdisjoint(clips.columns)
    assert clips["audio"]["c03"] == str(path.parent / "wav/3.wav")
    assert clips["system_id"]["c03"] == "s0"

    for aspect in ("mi", "ta"):
        for clip, ratings in table.groupby("clip_id")[aspect]:
            row = clips.loc[clip]
            assert row[aspect] == pytest.approx(ratings.mean())
            assert row[f"{aspect}_n"] == len(ratings)
            error = stats.sem(ratings)
            if error > 0:
                expected = stats.t.interval(
                    0.95, len(ratings) - 1, ratings.mean(), error
                )
                bounds = row[[f"{aspect}_low", f"{aspect}_high"]].tolist()
                assert bounds == pytest.approx(np.clip(expected, 1, 5).tolist())


def test_means_do_not_depend_on_the_order_of_ratings_to_the_last_bit():
    rng = np.random.default_rng(1)
    ratings = pd.DataFrame(
        {
            "clip_id": rng.choice(list("abc"), 300),
            "rater_id": np.arange(300).astype(str),
            "mi": rng.uniform(1, 5, 300),
        }
    )
    shuffled = ratings.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(
        mean_ratings(ratings, ["mi"]), mean_ratings(shuffled, ["mi"]), check_exact=True
    )


def test_one_rating_has_no_interval_and_none_has_no_mean():
    ratings = pd.DataFrame(
        {
            "clip_id": ["a", "b", "b", "c"],
            "rater_id": ["1", "1", "2", "1"],
            "mi": [3.0, 4.0, 4.0, np.nan],
        }
    )
    means = mean_ratings(ratings, ["mi"])
    assert means["mi_n"].tolist() == [1, 2, 0]
    assert np.isnan(means.loc[["a", "c"], ["mi_low", "mi_high"]]).all(axis=None)
    assert means.loc["b", ["mi_low", "mi_high"]].tolist() == [4.0, 4.0]
    assert np.isnan(means.loc["c", "mi"])


def test_the_t_interval_of_a_mean_holds_the_true_mean_as_often_as_it_says():
    rng = np.random.default_rng(2)
    n = 4000
    ratings = pd.DataFrame(
        {
            "clip_id": np.repeat(np.arange(n).astype(str), 6),
            "rater_id": np.tile(list("abcdef"), n),
            "mi": rng.normal(3, 0.3, 6 * n),
        }
    )
    means = mean_ratings(ratings, ["mi"])
    share = ((means["mi_low"] <= 3) & (means["mi_high"] >= 3)).mean()
    assert share == pytest.approx(0.95, abs=0.015)


def test_ratings_of_a_clip_table_without_labels_are_its_labels(path, tmp_path):
    bare = write_file(tmp_path / "clips.csv", "clip_id,audio\nc00,a.wav\nc01,b.wav\n")
    clips = read_clips(bare, ratings=path)
    assert clips["clip_id"].tolist() == ["c00", "c01"]
    whole = read_clips(path).set_index("clip_id")
    assert clips["mi"].tolist() == whole["mi"][["c00", "c01"]].tolist()
    assert clips["mi_n"].tolist() == whole["mi_n"][["c00", "c01"]].tolist()

    # Labels that are there win, and the ratings stay what they are.
    labelled = write_file(tmp_path / "labels.csv", "clip_id,mi\nc00,1.25\n")
    clips = read_clips(labelled, ratings=path)
    assert (clips["mi"].tolist(), "means_of" in clips.attrs) == ([1.25], False)
    # So do aspects that only the ratings have.
    assert read_clips(labelled, aspects=["ta"], ratings=path).attrs["aspects"] == ["ta"]


def test_a_clip_that_nobody_rated_cannot_be_trained_on(path, tmp_path):
    bare = write_file(
        tmp_path / "clips.csv", "clip_id,split\nc00,train\nx,dev\nc01,dev\n"
    )
    with pytest.raises(UsageError, match="clip 'x' is in dev and has no label"):
        read_clips(bare, ratings=path)


def test_training_reads_the_ratings_that_its_labels_are_means_of(path):
    rated = RatedClips.read(path)
    with_ratings, sentence = add_ratings(rated, [("dora_raters", 0)], TrainingSetup())
    assert len(with_ratings.ratings) == len(pd.read_csv(path))
    assert "whose means are the labels" in sentence
    assert find_ratings(path) == path
    assert find_ratings(path.with_name("none.csv")) is None


def test_a_table_to_score_has_a_row_per_clip_too(path):
    clips = read_clips(path, labels=False)
    assert len(clips) == 12
    assert clips.attrs["aspects"] == []


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            {"audio": "wav/other.wav"},
            "line 3: audio is 'wav/other.wav'; an earlier row",
        ),
        ({"system": "s9"}, "line 3: system is 's9'"),
        ({"prompt": "fast"}, "line 3: prompt is 'fast'"),
        ({"mi": 7}, "line 3: mi is '7'; a label is a number in 1..5"),
        ({"listener": "R0"}, "line 3: rater 'R0' rates 'a' twice"),
        ({"listener": ""}, "line 3: the rater is empty"),
    ],
)
def test_ratings_that_disagree_on_their_clip_are_refused_by_place(
    tmp_path, edit, message
):
    row = {"clip_id": "a", "audio": "a.wav", "system": "s", "prompt": "slow", "mi": 3}
    rows = [row | {"listener": "R0"}, row | {"listener": "R1"} | edit]
    pd.DataFrame(rows).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(UsageError, match=message):
        read_clips(tmp_path / "t.csv")


def test_columns_of_unknown_names_must_be_named(tmp_path):
    text = "clip_id,rater,groove,swing\na,R0,1,2\na,R1,2,3\n"
    path = write_file(tmp_path / "t.csv", text)
    with pytest.raises(UsageError, match="no column is known to hold ratings"):
        read_clips(path)
    assert read_clips(path, aspects=["groove"])["groove"].tolist() == [1.5]
    with pytest.raises(UsageError, match="no ratings in columns 'grove'; it has"):
        read_clips(path, aspects=["groove=grove"])
    clips = read_clips(path, aspects=["mi=groove", "ta=swing"])
    assert (clips["mi"][0], clips["ta"][0], clips["ta_n"][0]) == (1.5, 2.5, 2)


@pytest.mark.parametrize("lists", ["none", "names"])
def test_a_tree_of_single_ratings_needs_no_labels(tmp_path, lists):
    for split, clips in {"train": "AB", "dev": "C"}.items():
        lines = [
            f"{PREFIX}S00{k}_P00{clip}.wav,R{rater},{rating},{6 - rating}\n"
            for k, clip in enumerate(clips)
            for rater, rating in enumerate((2, 3, 5))
        ]
        write_file(tmp_path / f"person_mos/{split}_person_mos.txt", "".join(lines))
        if lists == "names":
            names = dict.fromkeys(line.split(",")[0] for line in lines)
            write_file(tmp_path / f"sets/{split}_mos_list.txt", "\n".join(names))
    clips = read_clips(tmp_path)
    assert clips["split"].tolist() == ["train", "train", "dev"]
    assert clips["mi"].tolist() == pytest.approx([10 / 3] * 3)
    assert clips["ta"].tolist() == pytest.approx([8 / 3] * 3)
    assert clips["mi_n"].tolist() == [3, 3, 3]
    renamed = read_clips(tmp_path, aspects=["quality=mi"])
    assert renamed["quality"].tolist() == clips["mi"].tolist()


def test_checking_says_how_many_ratings_and_how_wide_the_intervals_are(path):
    clips = read_clips(path)
    facts = summarise_clips(clips, ProbedAudio({}))["mean_ratings"]["mi"]
    assert facts["ratings"] == len(pd.read_csv(path))
    assert (facts["clips"], facts["min"], facts["max"]) == (12, 2, 5)
    widths = clips["mi_high"] - clips["mi_low"]
    assert facts["interval"] == pytest.approx(widths.median())


def test_a_table_in_which_nobody_rated_anything_has_no_labels(tmp_path):
    text = "clip_id,rater,mi\na,R0,\na,R1,\nb,R0,\n"
    clips = read_clips(write_file(tmp_path / "t.csv", text))
    assert clips["mi"].isna().all()
    facts = summarise_clips(clips, ProbedAudio({}))["mean_ratings"]["mi"]
    assert (facts["ratings"], facts["min"], facts["interval"]) == (0, None, None)


@pytest.mark.skipif(not CODEC.is_dir(), reason="real data is not here")
def test_means_of_a_real_listening_test_are_its_published_means():
    ratings = CODEC / "ratings.csv"
    published = read_clips(CODEC / "clips.csv").set_index("clip_id")["quality"]
    clips = read_clips(ratings, rating_scale=(0, 100)).set_index("clip_id")
    assert clips.attrs["aspects"] == ["mushra"]
    gaps = clips["mushra"] - published[clips.index]
    np.testing.assert_allclose(gaps, 0, atol=0.005)
    counts = read_ratings(ratings, ["mushra"], (0, 100)).groupby("clip_id").size()
    assert (clips["mushra_n"] == counts[clips.index]).all()
    # The name of the column says the scale, on which the means stay without a word.
    as_rated = read_clips(ratings)
    assert as_rated.attrs["scales"] == {"mushra": [0, 100]}
    mapped = labels_onto(as_rated).set_index("clip_id")["mushra"]
    np.testing.assert_allclose(mapped, clips["mushra"])
