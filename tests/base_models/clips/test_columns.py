"""Laws of column names: each has one meaning, and bookkeeping is never a rating."""

import pytest

from base_models.clips.columns import (
    ALIASES,
    RATER_COLUMNS,
    RATING_NAMES,
    STANDARD_NAMES,
    aspect_columns,
    is_bookkeeping_of_models,
    is_bookkeeping_of_ratings,
    normalize,
    normalize_loosely,
    with_underscores,
)
from base_models.errors import UsageError


def test_each_name_has_one_meaning():
    assert len(STANDARD_NAMES) == sum(map(len, ALIASES.values()))
    assert not set(STANDARD_NAMES) & (set(RATER_COLUMNS) | RATING_NAMES)


@pytest.mark.parametrize("name", sorted({*STANDARD_NAMES, *RATER_COLUMNS}))
def test_names_are_listed_as_they_are_compared(name):
    for compared in (with_underscores, normalize, normalize_loosely):
        assert compared(name) == name


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
