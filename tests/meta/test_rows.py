import numpy as np
import pandas as pd
import pytest

from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from meta.comparison.compared_rows import Judged
from meta.comparison.verdict import BEST
from meta.learners.weighted_scores import Mean
from meta.regressor import MetaRegressor
from meta.rows import id_order

ASPECTS = ("mi", "ta")
RNG = np.random.default_rng(0)
N = 120
IDS = np.array([f"c{k:03d}" for k in range(N)])
Y = np.clip(np.round(RNG.normal(3, 0.9, (N, 2)), 1), 1, 5)
SYSTEMS = np.array([f"s{k}" for k in RNG.integers(10, size=N)])
TABLES = [
    PredictionTable.from_scores(
        f"m{k}", IDS, ASPECTS, np.clip(Y + RNG.normal(0, wide, Y.shape), 1, 5)
    )
    for k, wide in enumerate((0.3, 0.6, 1.0))
]


def validated(order=None, systems=SYSTEMS, **options):
    """A validated stack and its boards, from rows in some order."""
    order = np.arange(N) if order is None else order
    model = MetaRegressor(options.pop("learner", "ridge"))
    rows = {
        name: np.asarray(options.pop(name))[order]
        for name in ("groups", "sample_weight")
        if name in options
    }
    systems = None if systems is None else systems[order]
    boards = model.validate(
        TABLES,
        Y[order],
        systems,
        clip_ids=IDS[order],
        n_bootstrap=50,
        **rows,
        **options,
    )
    return model, boards


@pytest.mark.parametrize("learner", ["ridge", "mean", "LinearRegression"])
@pytest.mark.parametrize("named", [True, False])
def test_the_order_of_rows_changes_nothing(named, learner):
    options = {
        "systems": SYSTEMS if named else None,
        "learner": learner,
        "sample_weight": 1 + np.arange(N) % 3,
    }
    first, boards = validated(**options)
    for seed in range(2):
        again, same = validated(np.random.default_rng(seed).permutation(N), **options)
        for name, board in boards.items():
            pd.testing.assert_frame_equal(same[name], board, check_exact=True)
        np.testing.assert_array_equal(again.predict(TABLES), first.predict(TABLES))
        np.testing.assert_array_equal(
            again.predict_interval(TABLES), first.predict_interval(TABLES)
        )
        assert again.verdict_.sentence == first.verdict_.sentence
        pd.testing.assert_frame_equal(
            again.verdict_.table, first.verdict_.table, check_exact=True
        )


def test_a_verdict_over_blocks_of_clips_without_systems_does_not_depend_on_their_order():
    rng, n = np.random.default_rng(3), 450
    ids = np.array([f"c{k:03d}" for k in range(n)])
    y = rng.uniform(1, 5, (n, 1))
    tables = [
        PredictionTable.from_scores(
            m, ids, ["mos"], np.clip(y + rng.normal(0, 1, y.shape), 1, 5)
        )
        for m in "ab"
    ]
    stack, order = np.clip(y + rng.normal(0, 0.7, y.shape), 1, 5), rng.permutation(n)
    sides = [
        Judged.of(tables, y[o], ids[o], None, ["mos"], stack[o])
        for o in (np.arange(n), order)
    ]
    tables = [side.verdict(side).table for side in sides]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    pd.testing.assert_frame_equal(*(side.board(20) for side in sides), check_exact=True)


def test_numbers_for_ids_keep_their_order_when_there_are_fewer_or_more():
    ids = [f"{number}.wav" for number in range(7, 1200, 31)]
    assert id_order(ids).tolist() == list(range(len(ids)))
    turned = np.random.default_rng(0).permutation(len(ids))
    assert turned[id_order([ids[row] for row in turned])].tolist() == list(
        range(len(ids))
    )


def test_the_rows_of_a_given_split_are_those_given_whatever_their_order():
    order = np.random.default_rng(1).permutation(N)
    model, _ = validated(order, validation=(np.arange(70), np.arange(70, 110)))
    assert model.fitted_on_ == tuple(IDS[order])
    sides = [
        set(model.validation_[name].clip_ids)
        for name in ("meta-training", "meta-validation")
    ]
    assert sides == [set(IDS[order[:70]]), set(IDS[order[70:110]])]


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        (([0, 1, 2, 3], [3, 4, 5]), "Rows '3' are on both sides"),
        (
            (range(60), range(60, 121)),
            r"Row '120' of validation is not among the 120 rows 0\.\.119",
        ),
        (([-1, 2], [3, 4]), "Row '-1' of validation is not among"),
        ((range(60), []), "no labelled row to measure on"),
        (([], range(60)), "no labelled row to fit on"),
        ((range(60),), "takes two lists of row numbers, to fit and to measure; got 1"),
        (
            ([0.5, 1.0], [3, 4]),
            r"is a list of row numbers; got float64 of shape \(2,\)",
        ),
        ((np.arange(N) < 60, np.arange(N) >= 60), "is a list of row numbers; got bool"),
    ],
)
def test_a_given_split_has_two_sides_apart_and_among_the_rows(validation, message):
    with pytest.raises(UsageError, match=message):
        validated(validation=validation)


@pytest.mark.parametrize("method", ["fit", "validate"])
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"sample_weight": np.r_[-1.0, np.ones(N - 1)]},
            "finite and not negative; that of clip 'c000' is -1.0",
        ),
        (
            {"sample_weight": np.r_[1.0, np.nan, np.ones(N - 2)]},
            "that of clip 'c001' is nan",
        ),
        (
            {"sample_weight": np.r_[np.inf, np.ones(N - 1)]},
            "that of clip 'c000' is inf",
        ),
        (
            {"sample_weight": np.ones(3)},
            r"120 clips need as many sample weights; got shape \(3,\)",
        ),
        (
            {"sample_weight": np.ones((N, 1))},
            r"as many sample weights; got shape \(120, 1\)",
        ),
        ({"groups": ["a", "b"]}, r"120 clips need as many groups; got shape \(2,\)"),
        (
            {"system_ids": ["a"] * 121},
            r"120 clips need as many system ids; got shape \(121,\)",
        ),
        ({"system_ids": SYSTEMS[:, None]}, r"as many system ids; got shape \(120, 1\)"),
    ],
)
def test_weights_groups_and_systems_are_one_per_clip_everywhere(
    method, change, message
):
    with pytest.raises(UsageError, match=message):
        getattr(MetaRegressor("mean"), method)(
            **{"tables": TABLES, "y": Y, "system_ids": SYSTEMS} | change
        )


@pytest.mark.parametrize("nothing", ["", None, np.nan])
def test_clips_without_a_system_among_named_ones_are_refused_by_name_unless_unlabelled(
    nothing,
):
    systems, y = SYSTEMS.astype(object), Y.copy()
    systems[[7, 30]] = nothing
    with pytest.raises(
        UsageError, match="Clips 'c007', 'c030' have no system id, others have"
    ):
        MetaRegressor("mean").validate(TABLES, y, systems)
    y[[7, 30]] = np.nan
    MetaRegressor("mean").validate(TABLES, y, systems, n_bootstrap=0)
    MetaRegressor("mean").validate(TABLES, y, [nothing] * N, n_bootstrap=0)


def test_a_new_fit_forgets_what_was_validated_and_a_verdict_is_made_once():
    model, _ = validated()
    assert model.verdict_ is model.verdict_
    before = model.verdict_
    model.validate(TABLES, Y, SYSTEMS, n_bootstrap=0, validation=0.3)
    assert model.verdict_ is not before
    model.fit(TABLES, Y)
    assert not hasattr(model, "validation_")
    with pytest.raises(AttributeError, match="needs meta-validation rows"):
        model.verdict_


class OwnMean(Mean):
    pass


def test_a_class_of_ones_own_is_named_when_it_cannot_be_saved():
    with pytest.raises(
        UsageError, match="class 'OwnMean' cannot be saved; those that can are 'ridge'"
    ):
        MetaRegressor(OwnMean()).fit(TABLES, Y).state()


def test_a_model_that_predicts_few_of_the_clips_is_not_the_best_base_model():
    seldom = PredictionTable.from_scores("seldom", IDS[::10], ASPECTS, Y[::10])
    for tables, best in (
        ([*TABLES, seldom], "m0"),
        ([seldom.take(seldom.clip_ids), TABLES[2]], "m2"),
    ):
        judged = Judged.of(tables, Y, IDS, SYSTEMS, ASPECTS, stack=Y)
        found = judged.verdict(judged).table
        assert set(found.loc[found["rival"] == BEST, "model"]) == {best}
    halves = [t.take(IDS[k::2]) for k, t in enumerate((TABLES[2], TABLES[0]))]
    judged = Judged.of(halves, Y, IDS, SYSTEMS, ASPECTS, stack=Y)
    assert set(judged.verdict(judged).table["model"]) <= {
        "m0",
        "m2",
        "mean",
    }  # no model is there often: all may be


@pytest.mark.parametrize("learner", ["ridge", "lightgbm", "auto"])
def test_equal_labels_give_one_warning_and_no_triumph(learner):
    y = Y.copy()
    y[:, 1] = 3
    model = MetaRegressor(learner)
    model.validate(TABLES, y, SYSTEMS, n_bootstrap=0)
    said = "all 120 labels of 'ta' are 3: nothing can be learnt or compared."
    assert [w for w in model.warnings_ if "ta" in w.split(":")[0]] == [said]
    assert model.verdict_.sentence.endswith(
        "All 48 labels of 'ta' are 3: nothing can be compared."
    )
    assert set(model.verdict_.table["aspect"]) == {"mi"}
    model.validate(TABLES, np.full_like(y, 3), SYSTEMS, n_bootstrap=0)
    assert model.warnings_ == [said.replace("'ta'", "'mi'"), said]
    assert "beats" not in model.verdict_.sentence
    assert (
        "All 48 labels of 'mi' are 3: nothing can be compared."
        in model.verdict_.sentence
    )


def test_weights_fit_and_do_not_calibrate():
    weight = np.where(np.arange(N) < 60, 1.0, 7.0)
    plain, weighed = (
        validated(learner="mean", **options)[0]
        for options in ({}, {"sample_weight": weight})
    )
    np.testing.assert_array_equal(weighed.residual_sigma_, plain.residual_sigma_)
    np.testing.assert_array_equal(
        weighed.predict_interval(TABLES), plain.predict_interval(TABLES)
    )
