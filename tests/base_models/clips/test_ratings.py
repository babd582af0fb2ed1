"""Laws of single ratings: on their scale or refused; histograms keep their mean."""

import numpy as np
import pandas as pd
import pytest
from builders import write_file

from base_models.bins import ScoreBins
from base_models.clips.listening_tests.rating_histograms import histograms
from base_models.clips.musiceval import PREFIX
from base_models.clips.ratings import (
    check_ratings,
    find_ratings,
    read_ratings,
)
from base_models.errors import UsageError
from base_models.scales import Scale

BINS = ScoreBins()
RATINGS = pd.DataFrame(
    [
        ("a", "R1", 1.0, 2.0),
        ("a", "R2", 4.3, np.nan),
        ("b", "R1", 3.0, np.nan),
        ("a", "R3", 2.17, 5.0),
    ],
    columns=["clip_id", "rater_id", "mi", "ta"],
)


# ---- bins


def test_a_split_rating_keeps_its_mean_and_sums_to_one():
    inside = np.linspace(1.1, 4.9, 97)
    np.testing.assert_allclose(BINS.expected(BINS.split(inside)), inside, atol=1e-12)
    everywhere = BINS.split(np.linspace(1, 5, 101))
    np.testing.assert_allclose(everywhere.sum(-1), 1, atol=1e-12)
    assert ((everywhere > 1e-9).sum(-1) <= 2).all()
    assert BINS.split([1.0, 5.0]).argmax(-1).tolist() == [0, 19]
    np.testing.assert_allclose(BINS.split(BINS.centers), np.eye(20), atol=1e-12)
    ends = ScoreBins(grid="endpoints")
    np.testing.assert_allclose(
        ends.expected(ends.split(np.linspace(1, 5, 101))),
        np.linspace(1, 5, 101),
        atol=1e-12,
    )


def test_a_histogram_keeps_the_mean_of_the_raters():
    found = histograms(RATINGS, ["b", "a", "c"], "mi", BINS)
    assert BINS.expected(found[:2]) == pytest.approx(
        [3.0, np.mean([1.1, 4.3, 2.17])]
    )  # 1.0 goes to the first centre
    assert np.isnan(found[2]).all()
    np.testing.assert_allclose(found[:2].sum(-1), 1, atol=1e-12)
    assert np.isnan(histograms(RATINGS, ["b"], "ta", BINS)).all()


def test_neither_the_order_of_ratings_nor_the_names_of_raters_change_a_bit():
    rng = np.random.default_rng(0)
    ratings = pd.DataFrame(
        {
            "clip_id": np.repeat(["a", "b", "c"], 40),
            "rater_id": np.tile(range(40), 3).astype(str),
        }
    )
    ratings["mos"] = rng.uniform(1, 5, 120)
    expected = histograms(ratings, ["a", "b", "c"], "mos", BINS)
    shuffled = ratings.sample(frac=1, random_state=0)
    np.testing.assert_array_equal(
        histograms(shuffled, ["a", "b", "c"], "mos", BINS), expected
    )
    np.testing.assert_array_equal(
        histograms(ratings.assign(rater_id=range(120)), ["c"], "mos", BINS)[0],
        expected[2],
    )


# ---- MusicEval


@pytest.fixture
def tree(tmp_path):
    line = f"{PREFIX}S002_P044.wav"
    write_file(tmp_path / "sets" / "train_mos_list.txt", f"{line},1.5,2\n")
    write_file(
        tmp_path / "person_mos" / "train_person_mos.txt",
        f"{line},R1,1,2\n{line},R2,2,2\n",
    )
    return tmp_path


def test_ratings_of_a_tree_are_one_row_per_clip_and_rater(tree):
    ratings = read_ratings(tree)
    assert ratings.to_numpy().tolist() == [
        [f"{PREFIX}S002_P044", "R1", 1, 2],
        [f"{PREFIX}S002_P044", "R2", 2, 2],
    ]
    assert list(read_ratings(tree, ["TA"])) == ["clip_id", "rater_id", "TA"]
    write_file(
        tree / "person_mos/dev_person_mos.txt", f"{PREFIX}S002_P044.wav,R2,1,2\n"
    )
    with pytest.raises(
        UsageError, match=r"dev_person_mos\.txt, line 1: rater 'R2' rates .* twice"
    ):
        read_ratings(tree)
    with pytest.raises(UsageError, match=r"expected file\.wav,rater,MI,TA"):
        read_ratings(write_file(tree / "x.txt", f"{PREFIX}S002_P044.wav,R1,1\n"))
    with pytest.raises(UsageError, match="no single ratings"):
        read_ratings(tree / "sets")
    with pytest.raises(UsageError, match="rates 'mi', 'ta', not 'quality'"):
        read_ratings(tree, ["quality"])


def test_ratings_beside_the_labels_are_found(tree, tmp_path_factory):
    for data in (tree, tree / "sets" / "train_mos_list.txt"):
        assert read_ratings(find_ratings(data)).equals(read_ratings(tree))
    assert find_ratings(tmp_path_factory.mktemp("else")) is None


# ---- tables


TABLE = "clip_id,listener,quality\na,L1,0\na,L2,100\nb,L1,62.5\nb,L2,\n"


def test_a_table_on_another_scale_is_mapped_by_a_straight_line(tmp_path):
    ratings = read_ratings(write_file(tmp_path / "r.csv", TABLE), "quality", (0, 100))
    assert list(ratings) == ["clip_id", "rater_id", "quality"]
    assert ratings["quality"].tolist() == pytest.approx(
        [1, 5, 3.5, np.nan], nan_ok=True
    )
    check_ratings(ratings, ["quality"])


@pytest.mark.parametrize(
    "name", ["quality", "Quality", "score", "mushra", "how_was_it"]
)
def test_the_usual_names_of_columns_are_recognised(tmp_path, name):
    table = pd.DataFrame({"filename": ["wav/a.wav"], "Annotator ID": ["7"], name: [3]})
    table.to_csv(tmp_path / "r.tsv", sep="\t", index=False)
    table.to_parquet(tmp_path / "r.parquet")
    table.to_json(tmp_path / "r.jsonl", orient="records", lines=True)
    for suffix in ("tsv", "parquet", "jsonl"):
        assert read_ratings(
            tmp_path / f"r.{suffix}", ["quality"]
        ).to_numpy().tolist() == [["a", "7", 3]]


@pytest.mark.parametrize(
    ("text", "scale", "message"),
    [
        (
            TABLE,
            None,
            r"r\.csv: 3 of 4 rows: quality is off the scale 1\.\.5 "
            r".first in line 2: '0'.*Ratings on another scale .*--rating-scale",
        ),
        (TABLE, (0, 99), r"line 3: quality is '100'.* 0\.\.99"),
        (TABLE, (5, 1), "must be below the highest, and both finite; got 5 1"),
        (TABLE, (0, np.inf), "got 0 inf"),
        (TABLE + "a,L1,3\n", (0, 100), r"line 6: rater 'L1' rates 'a' twice"),
        ("clip_id,quality\na,3\n", None, r"no column of raters \(rater_id, "),
        ("rater,quality\na,3\n", None, "no column of clip ids"),
        (
            "clip_id,rater,judge,quality\na,x,y,3\n",
            None,
            "'rater', 'judge' may all be the rater",
        ),
        ("clip_id,rater,mi,ta\na,x,1,3\n", None, "no ratings of 'quality'"),
        ("clip_id,rater,quality\n,x,3\n", None, "line 2: the clip id is empty"),
        ("clip_id,rater,quality\na,,3\n", None, "line 2: the rater is empty"),
        ("clip_id,rater,quality\n", None, "holds no ratings"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_by_place(
    tmp_path, text, scale, message
):
    with pytest.raises(UsageError, match=message):
        read_ratings(write_file(tmp_path / "r.csv", text), ["quality"], scale)


def test_what_is_no_table_is_refused(tmp_path):
    with pytest.raises(UsageError, match="There is no file or folder"):
        read_ratings(tmp_path / "none.csv")
    with pytest.raises(UsageError, match="ratings are read from a MusicEval folder"):
        read_ratings(write_file(tmp_path / "r.doc", "x"))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (RATINGS.drop(columns="ta"), "Ratings lack the columns 'ta'"),
        (RATINGS.assign(ta="5"), "Ratings of 'ta' are not numbers"),
        (RATINGS.assign(mi=7.0), "Rating 7 of 'a', 'mi' is off the scale 1..5"),
        (RATINGS.assign(mi=np.inf), "Rating inf of 'a'"),
        (RATINGS.assign(rater_id="R1"), "Rater 'R1' rates 'a' twice"),
    ],
)
def test_a_frame_that_is_no_table_of_ratings_is_refused(wrong, message):
    with pytest.raises(UsageError, match=message):
        check_ratings(wrong, ["mi", "ta"])


ONE = Scale(1, 5)
TEN = Scale(1, 10)


@pytest.mark.parametrize("own", [None, (1, 10), {"x": ONE, "y": TEN}])
@pytest.mark.parametrize(
    "onto", [None, ScoreBins(0, 100), {"x": ONE, "y": TEN}, {"x": TEN, "y": ONE}]
)
def test_each_aspect_is_mapped_from_its_scale_onto_that_of_its_labels(
    tmp_path, own, onto
):
    path = tmp_path / "ratings.csv"
    path.write_text("clip_id,rater_id,x,y\na,1,1,1\na,2,3,3\nb,1,5,5\n")
    found = read_ratings(path, ["x", "y"], own, bins=onto)
    for aspect in ("x", "y"):
        source = own[aspect] if isinstance(own, dict) else own and Scale(*own)
        target = onto[aspect] if isinstance(onto, dict) else onto
        expected = np.array([1.0, 3.0, 5.0])
        if source is not None and target is not None:
            expected = source.map(expected, target)
        np.testing.assert_array_equal(found[aspect], expected)
