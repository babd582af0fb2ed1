from dataclasses import replace

import numpy as np
import pytest

from base_models.bins import ScoreBins
from base_models.errors import DamagedArtifact, UsageError
from base_models.predictions import PredictionTable
from meta.columns.feature_table import (
    Layout,
    feature_array,
    feature_table,
    layout_of,
)

CLIPS = ("c1", "c2", "c3")


def table(model, scores=((1.5, 4.0), (2.5, 3.0), (4.5, 1.0)), clips=CLIPS, **options):
    return PredictionTable.from_scores(model, clips, ("mi", "ta"), scores, **options)


def test_columns_are_named_by_aspect_model_and_bin():
    features = feature_table([table("dora-s0"), table("whisq")], "mi")
    assert features.columns[7] == "mi__dora_s0__b07"
    assert features.columns[20] == "mi__whisq__b00"
    assert features.index.name == "clip_id"
    assert list(features.index) == list(CLIPS)
    assert (features.dtypes == np.float64).all()


def test_each_model_has_a_block_that_sums_to_1():
    features = feature_table([table("a"), table("b"), table("c")], "ta")
    assert features.shape == (3, 60)
    np.testing.assert_allclose(features.to_numpy().reshape(3, 3, 20).sum(axis=2), 1)


def test_clip_ids_set_the_row_order_and_tables_may_differ_in_theirs():
    scores = np.array([[1.5, 4.0], [2.5, 3.0], [4.5, 1.0]])
    turned = table("b", scores[::-1], CLIPS[::-1])
    features = feature_array([table("a"), turned], "mi", ["c3", "c1"])
    np.testing.assert_array_equal(features[:, :20], features[:, 20:])
    assert list(feature_table([turned, table("a")], "mi").index) == ["c3", "c2", "c1"]


def test_with_gaps_a_clip_left_out_is_nan_and_an_absent_model_all_nan():
    part = table("b").take(["c3"])
    features = feature_array([table("a"), part], "mi", ["c3", "c1"], gaps=True)
    assert np.isnan(features).tolist() == [[False] * 40, [False] * 20 + [True] * 20]
    layout = layout_of([table("a"), part])
    aligned = layout.align([table("a")], gaps=True)
    assert [len(found) for found in aligned] == [3, 0]


@pytest.mark.parametrize(
    ("tables", "options", "message"),
    [
        ([], {}, "at least one base model"),
        ([table("a"), table("a")], {}, "Model 'a' is given more than once"),
        (
            [table("a-1"), table("a_1")],
            {},
            "Models 'a-1', 'a_1' would share column names",
        ),
        (
            [table("a"), table("b", bins=ScoreBins(count=10))],
            {},
            "'b' predicts on .*a stack needs one scale",
        ),
        (
            [table("a"), table("b")],
            {"clip_ids": ["c1", "c9"]},
            "'a' has no prediction for 'c9'",
        ),
        ([table("a")], {"aspect": "quality"}, "no predictions for aspect 'quality'"),
    ],
)
def test_tables_that_do_not_fit_together_are_refused(tables, options, message):
    with pytest.raises(UsageError, match=message):
        feature_table(**{"tables": tables, "aspect": "mi"} | options)


def test_a_layout_orders_tables_as_at_the_fit_and_leaves_others_out():
    layout = layout_of([table("b"), table("a")])
    assert [t.model for t in layout.align([table("a"), table("new"), table("b")])] == [
        "b",
        "a",
    ]


def test_a_layout_refuses_a_missing_or_changed_model():
    layout = layout_of([table("a"), table("b")])
    with pytest.raises(
        UsageError, match=r"fitted with 'b', which is missing here \(given: 'a'\)"
    ):
        layout.align([table("a")])
    with pytest.raises(UsageError, match=r"'b' now predicts on .* with sigma 0\.1"):
        layout.align([table("a"), table("b", sigma=0.1)])
    with pytest.raises(UsageError, match="'a' now predicts on"):
        layout.align([table(m, bins=ScoreBins(grid="endpoints")) for m in "ab"])


def test_a_layout_survives_json_and_refuses_damage():
    layout = layout_of([table("a"), table("b", sigma=0.25)])
    facts = layout.to_json()
    for same in (layout, replace(layout, sigmas=(0.35, 0.0))):
        assert Layout.from_json(same.to_json()) == same
    for change in (
        {"models": ["a"]},
        {"models": ["a", "a"]},
        {"sigmas": [1, -1]},
        {"bins": {"count": 1}},
        {"bins": 3},
    ):
        with pytest.raises(DamagedArtifact, match="list of base models is damaged"):
            Layout.from_json(facts | change)
