"""Laws of labels: one named float column per aspect, on the scale, or NaN."""

import numpy as np
import pandas as pd
import pytest

from base_models.bins import ScoreBins
from base_models.clips.labels import as_labels, check_labels, judged_by_text, mean_label
from base_models.errors import UsageError


@pytest.mark.parametrize(
    ("y", "names"),
    [
        ([1.0, 2.0], ["mos"]),
        (np.array([[1.0], [2.0]]), ["mos"]),
        (np.array([[1, 2, 3], [2, 3, 4]]), ["y0", "y1", "y2"]),
        (pd.Series([1.0, 2.0]), ["mos"]),
        (pd.Series([1.0, 2.0], index=[7, 9], name="quality"), ["quality"]),
        (pd.DataFrame({"mi": [1, 2], "ta": [2.0, np.nan]}, index=[5, 4]), ["mi", "ta"]),
        (pd.DataFrame([[1, 2], [3, 4]]), ["0", "1"]),
        (pd.Series([1.5, None], dtype="Float64"), ["mos"]),
        ([None, 2.0], ["mos"]),
    ],
)
def test_every_form_of_labels_becomes_a_named_float_frame_in_row_order(y, names):
    labels = as_labels(y, 2)
    assert labels.columns.tolist() == names
    assert (labels.dtypes == np.float64).all()
    assert labels.index.tolist() == [0, 1]
    expected = np.array(
        pd.DataFrame(y).to_numpy(dtype=np.float64, na_value=np.nan)
    ).reshape(2, -1)
    np.testing.assert_array_equal(labels.to_numpy(), expected)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        ([1.0], "There are 2 clips but 1 rows of labels"),
        (["a", "b"], "Labels must be numbers: could not convert"),
        ([[1.0], [2.0, 3.0]], "Labels must be numbers"),
        (None, r"the shape \(n,\) or \(n, aspects\); got \(\)"),
        (np.zeros((2, 2, 2)), r"the shape \(n,\) or \(n, aspects\); got \(2, 2, 2\)"),
        (np.zeros((2, 0)), "one column per aspect, each with a name of its own"),
        (
            pd.DataFrame([[1, 2], [3, 4]], columns=["mi", "mi"]),
            r"of its own; got \['mi', 'mi'\]",
        ),
    ],
)
def test_labels_that_do_not_fit_are_refused(y, message):
    with pytest.raises(UsageError, match=message):
        as_labels(y, 2)


def test_labels_are_a_copy():
    y = pd.DataFrame({"mi": [1.0, 2.0]})
    labels = as_labels(y, 2)
    labels.loc[0, "mi"] = 5.0
    assert y.iloc[0, 0] == 1.0


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1, 2], [5.5, 3]], "Label 5.5 of aspect 'a' in row 1 is off the scale 1..5"),
        ([[1, 0], [2, 3]], "Label 0 of aspect 'b' in row 0 is off the scale"),
        ([[1, np.inf], [2, 3]], "Label inf of aspect 'b'"),
        ([[1, np.nan], [2, np.nan]], "Aspect 'b' has no label at all"),
    ],
)
def test_labels_off_the_scale_and_empty_aspects_are_named(values, message):
    with pytest.raises(UsageError, match=message):
        check_labels(pd.DataFrame(values, columns=["a", "b"]), ScoreBins())


def test_the_ends_of_the_scale_and_missing_labels_are_legal():
    check_labels(pd.DataFrame({"a": [1.0, np.nan], "b": [np.nan, 5.0]}), ScoreBins())
    check_labels(pd.DataFrame({"a": [0.0, 100.0]}), ScoreBins(low=0, high=100))


def test_text_aspects_are_those_named_or_those_known():
    assert judged_by_text(["mi", "TA", "quality"]) == (False, True, False)
    assert judged_by_text(["mi", "ta"], ["mi"]) == (True, False)
    assert judged_by_text(["mi", "ta"], []) == (False, False)
    with pytest.raises(
        UsageError,
        match=r"text_aspects names \['tb'\], but the aspects are \['mi', 'ta'\]",
    ):
        judged_by_text(["mi", "ta"], ["tb"])


def test_the_mean_label_is_over_what_is_labelled():
    nan = np.nan
    means = mean_label(np.array([[1.0, 2.0], [nan, 4.0], [nan, nan]]))
    np.testing.assert_array_equal(means, [1.5, 4.0, nan])
