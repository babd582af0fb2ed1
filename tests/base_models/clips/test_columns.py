"""Laws of column names: each has one meaning, and bookkeeping is never a rating."""

import pytest

from base_models.clips.bookkeeping import (
    is_bookkeeping_of_models,
    is_bookkeeping_of_ratings,
)
from base_models.clips.columns import (
    ALIASES,
    RATER_COLUMNS,
    RATING_NAMES,
    STANDARD_NAMES,
    WEAK_ALIASES,
    aspect_columns,
    fold_name,
    scale_in_name,
)
from base_models.errors import UsageError


def test_each_name_has_one_meaning():
    assert len(STANDARD_NAMES) == sum(
        map(len, [*ALIASES.values(), *WEAK_ALIASES.values()])
    )
    assert not set(STANDARD_NAMES) & (set(RATER_COLUMNS) | RATING_NAMES)


@pytest.mark.parametrize(
    "name", sorted({*STANDARD_NAMES, *RATER_COLUMNS, *RATING_NAMES})
)
def test_names_are_listed_as_they_are_compared(name):
    assert fold_name(name) == name


def test_a_known_rating_is_not_bookkeeping():
    assert not [name for name in RATING_NAMES if is_bookkeeping_of_ratings(name)]


@pytest.mark.parametrize(
    "name", ["MOS_std", "n_ratings", "Fold", "mos_count", "seed", "out_of_range"]
)
def test_statistics_are_neither_ratings_nor_models(name):
    assert is_bookkeeping_of_ratings(name)
    assert is_bookkeeping_of_models(name, ["mos"])


@pytest.mark.parametrize("name", ["w2v_seed", "num_7", "pred_a", "rater_net"])
def test_a_model_may_be_called_what_a_rating_may_not(name):
    assert is_bookkeeping_of_ratings(name)
    assert not is_bookkeeping_of_models(name, ["mos"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["mi="], "'mi=' names no aspect: write NAME, or NAME=COLUMN"),
        (["=naturalness"], "names no aspect"),
        ([""], "names no aspect"),
        (["mi", "mi=naturalness"], "'mi' is named twice"),
        (["mi=naturalness", "ta=naturalness"], "is read as 'mi' and as 'ta'"),
        (["prompt=naturalness"], "'prompt' is what describes a clip"),
        ([], "No aspect is named"),
    ],
)
def test_aspects_that_are_matched_wrongly_are_refused(words, message):
    with pytest.raises(UsageError, match=message):
        aspect_columns(words)


def test_a_column_with_an_equals_sign_in_its_name_is_named_as_it_is():
    assert aspect_columns(["a=b"], ["a=b"]) == {"a=b": "a=b"}
    assert aspect_columns(["x=a=b"]) == {"x": "a=b"}


@pytest.mark.parametrize(
    ("written", "folded"),
    [
        ("File name", "file_name"),
        ("Model version", "model_version"),
        ("SONG_ID", "song_id"),
        ("sysID", "sys_id"),
        ("Rating (1-5)", "rating"),
        ("Rating (1 to 5)", "rating"),
        ("Rating [0..100]", "rating"),
        ("Rating 1\u20135", "rating"),
        ("Quality {1 = bad, 5 = excellent}", "quality"),
        ("MOS (std)", "mos_std"),
        ("MOS (95% CI)", "mos_95_ci"),
        ("Rating (mean)", "rating_mean"),
        ("rating_1", "rating_1"),
        ("Predicted - MOS", "predicted_mos"),
        ("\uff2d\uff2f\uff33", "mos"),
        ("  *audio* ", "audio"),
        ("(1-5)", "1_5"),
        ("?", "?"),
    ],
)
def test_names_are_compared_without_case_punctuation_and_scale(written, folded):
    assert fold_name(written) == folded
    assert fold_name(folded) == folded


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("Rating (0-100)", (0, 100)),
        ("Rating (-3 - 3)", (-3, 3)),
        ("MOS 1-5", (1, 5)),
        ("MOS (1-5 stars)", (1, 5)),
        ("session 2-3", None),
        ("Rating (5-1)", None),
        ("Rating (n=5)", None),
        ("MOS (1-5 std)", None),
        ("2024-05 ratings", None),
        ("rating", None),
    ],
)
def test_a_scale_is_read_from_a_name_that_states_one(name, scale):
    found = scale_in_name(name)
    assert (found and (found.low, found.high)) == scale


@pytest.mark.parametrize("name", ["MOS (std)", "MOS (95% CI)", "MOS (1-5 std)"])
def test_brackets_make_no_rating_of_a_statistic(name):
    assert is_bookkeeping_of_ratings(name)
    assert fold_name(name) not in RATING_NAMES


@pytest.mark.parametrize(
    "name",
    [
        "len_in_sec",
        "sr",
        "num_hops",
        "Unnamed: 0",
        "Comment",
        "Timestamp",
        "start_time",
    ],
)
def test_what_tools_and_people_write_beside_scores_is_neither(name):
    assert is_bookkeeping_of_ratings(name)
    assert is_bookkeeping_of_models(name, ["mos"])
