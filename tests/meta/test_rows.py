from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from builders import fit_measured
from sklearn.linear_model import LinearRegression

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from ensemble.estimator.stacked_mos import StackedMOS
from meta.comparison.compared_rows import ComparedRows
from meta.comparison.verdict import BEST
from meta.learners.weighted_scores import Mean
from meta.regressor import MetaRegressor
from meta.rows import Rows, id_order
from meta.splits.meta_split import VALIDATION_SHARE

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


def given(order=None, labels=Y, **known):
    """All rows, or those of some order, with what is known of each."""
    known = {"systems": SYSTEMS} | known
    order = np.arange(N) if order is None else order
    of_order = {
        name: None if values is None else np.asarray(values)[order]
        for name, values in known.items()
    }
    return Rows.of(IDS[order], labels[order], ASPECTS, **of_order)


def measured(rows, learner="ridge", validation=VALIDATION_SHARE):
    """A fitted and calibrated stack, and its trial."""
    model = MetaRegressor(learner)
    return model, fit_measured(model, TABLES, rows, validation)


@pytest.mark.parametrize("learner", ["ridge", "mean", "LinearRegression"])
@pytest.mark.parametrize("named", [True, False])
def test_the_order_of_rows_changes_nothing(named, learner):
    known = {
        "systems": SYSTEMS if named else None,
        "weights": 1 + np.arange(N) % 3,
    }
    first, trial = measured(given(**known), learner)
    for seed in range(2):
        order = np.random.default_rng(seed).permutation(N)
        again, same = measured(given(order, **known), learner)
        for name, side in trial.sides.items():
            pd.testing.assert_frame_equal(
                same.sides[name].board(50), side.board(50), check_exact=True
            )
        np.testing.assert_array_equal(again.predict(TABLES), first.predict(TABLES))
        np.testing.assert_array_equal(
            again.predict_interval(TABLES), first.predict_interval(TABLES)
        )
        assert same.verdict.sentence == trial.verdict.sentence
        pd.testing.assert_frame_equal(
            same.verdict.table, trial.verdict.table, check_exact=True
        )


def test_a_verdict_over_blocks_of_clips_without_systems_ignores_their_order():
    rng = np.random.default_rng(3)
    n = 450
    ids = np.array([f"c{k:03d}" for k in range(n)])
    y = rng.uniform(1, 5, (n, 1))
    tables = [
        PredictionTable.from_scores(
            m, ids, ["mos"], np.clip(y + rng.normal(0, 1, y.shape), 1, 5)
        )
        for m in "ab"
    ]
    stack = np.clip(y + rng.normal(0, 0.7, y.shape), 1, 5)
    sides = [
        ComparedRows.of(tables, Rows.of(ids[o], y[o], ["mos"]), stack[o])
        for o in (np.arange(n), rng.permutation(n))
    ]
    found = [side.verdict(side).table for side in sides]
    pd.testing.assert_frame_equal(*found, check_exact=True)
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
    model, trial = measured(
        given(order), validation=(np.arange(70), np.arange(70, 110))
    )
    assert model.fitted_on_ == tuple(IDS[order])
    assert set(trial.training.rows.ids) == set(IDS[order[:70]])
    assert set(trial.validation.rows.ids) == set(IDS[order[70:110]])


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
        MetaRegressor().held_out_trial(TABLES, given(), validation)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"weights": np.r_[-1.0, np.ones(N - 1)]},
            "finite and not negative; that of clip 'c000' is -1.0",
        ),
        ({"weights": np.r_[1.0, np.nan, np.ones(N - 2)]}, "that of clip 'c001' is nan"),
        ({"weights": np.r_[np.inf, np.ones(N - 1)]}, "that of clip 'c000' is inf"),
        (
            {"weights": np.ones(3)},
            r"120 clips need as many sample weights; got shape \(3,\)",
        ),
        (
            {"weights": np.ones((N, 1))},
            r"as many sample weights; got shape \(120, 1\)",
        ),
        ({"groups": ["a", "b"]}, r"120 clips need as many groups; got shape \(2,\)"),
        (
            {"systems": ["a"] * 121},
            r"120 clips need as many system ids; got shape \(121,\)",
        ),
        ({"systems": SYSTEMS[:, None]}, r"as many system ids; got shape \(120, 1\)"),
        ({"prompts": ["a"] * 7}, r"120 clips need as many prompts; got shape \(7,\)"),
        ({"labels": Y[:5]}, r"shape \(5, 2\); expected \(120, 2\): clips by aspects"),
        ({"labels": Y[:, 0]}, r"shape \(120,\); expected \(120, 2\)"),
        ({"labels": Y[:, :, None]}, r"shape \(120, 2, 1\); expected \(120, 2\)"),
        ({"aspects": ("mi",)}, r"shape \(120, 2\); expected \(120, 1\)"),
        ({"ids": IDS[1:]}, r"shape \(120, 2\); expected \(119, 2\)"),
    ],
)
def test_everything_that_is_known_of_clips_is_one_per_clip(change, message):
    with pytest.raises(UsageError, match=message):
        Rows.of(**{"ids": IDS, "labels": Y, "aspects": ASPECTS} | change)


@pytest.mark.parametrize("nothing", ["", None, np.nan])
def test_clips_without_a_system_among_named_ones_are_refused_unless_unlabelled(
    nothing,
):
    systems = SYSTEMS.astype(object)
    systems[[7, 30]] = nothing
    message = "Clips 'c007', 'c030' have no system id, others have"
    model = MetaRegressor("mean")
    with pytest.raises(UsageError, match=message):
        model.held_out_trial(TABLES, given(systems=systems))
    model.fit(TABLES, given(systems=systems))
    with pytest.raises(UsageError, match=message):
        model.calibrate(TABLES, given(systems=systems))
    y = Y.copy()
    y[[7, 30]] = np.nan
    measured(given(labels=y, systems=systems), "mean")
    measured(given(systems=[nothing] * N), "mean")


def test_a_verdict_is_made_once_and_a_new_fit_has_one_of_its_own():
    _, trial = measured(given())
    assert trial.verdict is trial.verdict
    assert trial.board is trial.board
    clips = pd.DataFrame({"clip_id": IDS, "system_id": SYSTEMS})
    stack = StackedMOS([(t.model, t) for t in TABLES], "ridge", cv="prefit")
    labels = pd.DataFrame(Y, columns=ASPECTS)
    stack.fit(clips, labels)
    before = stack.trial_
    assert stack.trial_.verdict.text == stack.verdict_ == trial.verdict.text
    stack.set_params(validation=0.3).fit(clips, labels)
    assert stack.trial_ is not before
    assert len(stack.trial_.validation.rows) == 36
    stack.set_params(validation=None).fit(clips, labels)
    assert stack.trial_ is None
    assert stack.validation_scores_ is None
    with pytest.raises(AttributeError, match="needs meta-validation rows"):
        _ = stack.verdict_


def test_a_trial_leaves_the_regressor_as_it_was():
    model = MetaRegressor()
    model.held_out_trial(TABLES, given())
    assert not hasattr(model, "learners_")
    model.fit(TABLES, given())
    before = model.predict(TABLES)
    facts = model.state()[0]
    model.held_out_trial(TABLES, given(), 0.3)
    assert model.state()[0] == facts
    np.testing.assert_array_equal(model.predict(TABLES), before)


class OwnMean(Mean):
    pass


def test_a_class_of_ones_own_is_named_when_it_cannot_be_saved():
    with pytest.raises(
        UsageError, match="class 'OwnMean' cannot be saved; those that can are 'stack'"
    ):
        MetaRegressor(OwnMean()).fit(TABLES, given()).state()


def test_a_model_that_predicts_few_of_the_clips_is_not_the_best_base_model():
    seldom = PredictionTable.from_scores("seldom", IDS[::10], ASPECTS, Y[::10])
    for tables, best in (
        ([*TABLES, seldom], "m0"),
        ([seldom.take(seldom.clip_ids), TABLES[2]], "m2"),
    ):
        compared = ComparedRows.of(tables, given(), Y)
        found = compared.verdict(compared).table
        assert set(found.loc[found["rival"] == BEST, "model"]) == {best}
    # Where no model is there often, all may be the best.
    halves = [t.take(IDS[k::2]) for k, t in enumerate((TABLES[2], TABLES[0]))]
    compared = ComparedRows.of(halves, given(), Y)
    assert set(compared.verdict(compared).table["model"]) <= {"m0", "m2", "mean"}


@pytest.mark.parametrize("learner", ["ridge", "lightgbm", "auto"])
def test_equal_labels_give_one_warning_and_no_triumph(learner):
    y = Y.copy()
    y[:, 1] = 3
    model, trial = measured(given(labels=y), learner)
    said = "all 120 labels of 'ta' are 3: nothing can be learnt or compared."
    assert [w for w in model.warnings_ if "ta" in w.split(":")[0]] == [said]
    assert trial.verdict.sentence.endswith(
        "All 48 labels of 'ta' are 3: nothing can be compared."
    )
    assert set(trial.verdict.table["aspect"]) == {"mi"}
    model, trial = measured(given(labels=np.full_like(y, 3)), learner)
    assert model.warnings_ == [said.replace("'ta'", "'mi'"), said]
    assert "beats" not in trial.verdict.sentence
    assert (
        "All 48 labels of 'mi' are 3: nothing can be compared."
        in trial.verdict.sentence
    )


def test_weights_fit_and_do_not_calibrate():
    weights = np.where(np.arange(N) < 60, 1.0, 7.0)
    plain, _ = measured(given(), "mean")
    weighed, _ = measured(given(weights=weights), "mean")
    np.testing.assert_array_equal(weighed.residual_sigma_, plain.residual_sigma_)
    np.testing.assert_array_equal(
        weighed.predict_interval(TABLES), plain.predict_interval(TABLES)
    )


def test_weights_fit_the_learners_whose_errors_calibrate():
    weights = np.where(np.arange(N) < 60, 1.0, 7.0)
    given_weights = []

    class Watching(LinearRegression):
        def fit(self, X, y, sample_weight=None):
            given_weights.append(sample_weight)
            return super().fit(X, y, sample_weight)

    rows = given(weights=weights)
    model = MetaRegressor(Watching()).fit(TABLES, rows)
    given_weights.clear()
    model.calibrate(TABLES, rows)
    # Each row is in four of the five folds that learners are fitted on.
    assert len(given_weights) == 5 * len(ASPECTS)
    total = sum(of_fold.sum() for of_fold in given_weights)
    assert total == 4 * len(ASPECTS) * weights.sum()


# ---- what belongs to a row goes with it

PER_ROW = [field.name for field in fields(Rows) if field.name != "aspects"]


def known_rows():
    """Six rows of which everything is known, given in the order of no id."""
    return Rows.of(
        ["c10", "c9", "c2", "c30", "c1", "c11"],
        [[1, 2], [np.nan, np.nan], [3, np.nan], [4, 5], [np.nan, 3], [2, 2]],
        ASPECTS,
        systems=["x", None, "y", np.nan, "x", "z"],
        groups=[1, 2, 1, None, 3, 2],
        prompts=["p", "q", "p", None, "q", "r"],
        weights=[1, 1, 0.5, 0, 2, 3],
    )


@pytest.mark.parametrize(
    "chosen",
    [
        [4, 0],
        np.array([5, 1, 2]),
        slice(1, 4),
        np.array([True, False, True, False, False, True]),
        np.array([], dtype=np.int64),
    ],
)
def test_taking_rows_takes_everything_that_belongs_to_them(chosen):
    rows = known_rows()
    taken = rows.take(chosen)
    places = np.arange(6)[chosen]
    assert taken.number.tolist() == places.tolist()
    assert len(taken) == len(places)
    assert taken.aspects == ASPECTS
    for name in PER_ROW:
        np.testing.assert_array_equal(
            getattr(taken, name), getattr(rows, name)[places], err_msg=name
        )


def test_the_number_of_a_row_stays_with_it_however_often_rows_are_taken():
    rows = known_rows()
    assert rows.number.tolist() == [0, 1, 2, 3, 4, 5]
    ordered = rows.in_id_order()
    assert ordered.ids.tolist() == ["c1", "c2", "c9", "c10", "c11", "c30"]
    assert ordered.number.tolist() == [4, 2, 1, 0, 5, 3]
    assert ordered.take([1, 3]).usable().number.tolist() == [2, 0]
    np.testing.assert_array_equal(rows.ids[ordered.number], ordered.ids)
    np.testing.assert_array_equal(rows.labels[ordered.number], ordered.labels)


def test_what_is_not_known_of_rows_stays_unknown():
    rows = Rows.of(range(3), [1, 2, 3], ("mos",)).take([2, 0]).in_id_order()
    assert rows.ids.tolist() == ["0", "2"]
    assert rows.labels.tolist() == [[1.0], [3.0]]
    assert rows.systems.tolist() == ["", ""]
    assert rows.groups is rows.prompts is rows.weights is None
    assert rows.together is rows.group_names is None


def test_rows_count_where_they_have_a_label_and_a_weight():
    rows = known_rows()
    assert rows.labelled.tolist() == [True, False, True, False, True, True]
    assert rows.usable().ids.tolist() == ["c10", "c2", "c1", "c11"]
    assert rows.of_aspect(0).ids.tolist() == ["c10", "c2", "c11"]
    assert rows.of_aspect(1).ids.tolist() == ["c10", "c1", "c11"]
    assert np.isnan(rows.labels[3]).all()
    alike = rows.without_weights()
    assert alike.weights is None
    assert alike.usable().ids.tolist() == ["c10", "c2", "c1", "c11"]


def test_folds_keep_groups_together_or_else_systems_where_every_clip_names_one():
    rows = known_rows()
    together = rows.together.tolist()
    unknown = together.pop(3)
    assert together == ["1", "2", "1", "3", "2"]
    assert unknown not in together
    assert rows.systems.tolist() == ["x", "", "y", "", "x", "z"]
    assert rows.prompts.tolist() == ["p", "q", "p", "", "q", "r"]
    assert given().together.tolist() == SYSTEMS.tolist()
    assert given(systems=["", *SYSTEMS[1:]]).together is None


def test_rows_of_a_clip_table_have_its_columns():
    clips = pd.DataFrame(
        {
            "clip_id": ["a", "b"],
            "system_id": ["s", ""],
            "mi": [1.0, 2.0],
            "ta": [3.0, np.nan],
            "album": [7, 8],
        }
    )
    rows = Rows.from_clips(clips, ["ta", "mi"], "album")
    assert rows.aspects == ("ta", "mi")
    np.testing.assert_array_equal(rows.labels, [[3, 1], [np.nan, 2]])
    assert rows.groups.tolist() == ["7", "8"]
    assert rows.prompts is None
    named = Rows.from_clips(clips.assign(prompt=["p", None]), ["mi"])
    assert named.prompts.tolist() == ["p", ""]
    assert named.groups is None
    pd.testing.assert_frame_equal(named.label_frame, clips[["mi"]])


@pytest.mark.parametrize("label", [0.5, 5.1, np.inf])
def test_a_label_off_the_scale_is_named(label):
    y = Y.copy()
    y[3, 1] = label
    message = rf"Label of clip 'c003', aspect 'ta' is {label}; the scale is 1\.\.5"
    for refuse in (
        lambda rows: rows.check_scale(ScoreBins()),
        lambda rows: MetaRegressor("mean").fit(TABLES, rows),
        lambda rows: MetaRegressor("mean").held_out_trial(TABLES, rows),
    ):
        with pytest.raises(UsageError, match=message):
            refuse(given(labels=y))
    # A row of weight 0 is a row left out.
    weights = np.ones(N)
    weights[3] = 0
    MetaRegressor("mean").fit(TABLES, given(labels=y, weights=weights))
