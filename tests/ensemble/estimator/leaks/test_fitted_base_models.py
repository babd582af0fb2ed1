"""Models that are fitted before their folds are refused, however they are wrapped."""

import functools
import types

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import StackingRegressor, VotingRegressor
from sklearn.feature_selection import SelectFromModel
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import Lasso, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputRegressor
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from ensemble import StackedMOS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4))
Y = np.clip(3 + X[:, 0] + RNG.normal(0, 0.4, 60), 1, 5)
FITTED = Ridge().fit(X, Y)
FROZEN = FrozenEstimator(FITTED)


def column(model, X):
    return model.predict(X)[:, None]


def by_global(X):
    return FITTED.predict(X)[:, None]


def by_closure(model):
    return lambda X: model.predict(X)[:, None]


class Holder(RegressorMixin, BaseEstimator):
    """Keeps a model where scikit-learn's clone copies it as it is."""

    def __init__(self, held=None):
        self.held = held

    def fit(self, X, y):
        self.fitted_ = True
        return self

    def predict(self, X):
        return self.held.model.predict(X)


WRAPPED = {
    "frozen": FROZEN,
    "pipeline": make_pipeline(StandardScaler(), FROZEN),
    "grid": GridSearchCV(make_pipeline(FROZEN), {"steps": [[("a", FROZEN)]]}),
    "voting": VotingRegressor([("a", Ridge()), ("b", FROZEN)]),
    "stacking": StackingRegressor([("a", FROZEN)], cv="prefit"),
    "selection": make_pipeline(
        SelectFromModel(FrozenEstimator(Lasso(0.01).fit(X, Y)), prefit=True), Ridge()
    ),
    "target": TransformedTargetRegressor(FROZEN),
    "outputs": MultiOutputRegressor(FROZEN),
    "classifier": FrozenEstimator(LogisticRegression().fit(X, np.round(Y))),
    "union": make_pipeline(
        make_union(FunctionTransformer(functools.partial(column, FITTED))), Ridge()
    ),
    "closure": make_pipeline(FunctionTransformer(by_closure(FITTED)), Ridge()),
    "method": make_pipeline(FunctionTransformer(FITTED.predict), Ridge()),
    "global": make_pipeline(FunctionTransformer(by_global), Ridge()),
    "object": Holder(types.SimpleNamespace(model=FITTED)),
    "deep": Holder(types.SimpleNamespace(model={"of": [("a", FITTED)]})),
    "inner": StackedMOS([("a", FROZEN), ("b", Ridge())], cv="prefit"),
}


@pytest.mark.parametrize("name", WRAPPED)
@pytest.mark.parametrize("cv", [3, 0.3])
def test_a_fitted_model_inside_folds_is_refused(name, cv):
    stack = StackedMOS([("ridge", Ridge()), (name, WRAPPED[name])], cv=cv)
    with pytest.raises(
        UsageError, match=rf"'{name}' is fitted already .* stays so in every fold"
    ) as caught:
        stack.fit(X, Y)
    assert len(str(caught.value)) <= 500


@pytest.mark.parametrize(
    "model",
    [
        FITTED,
        make_pipeline(FrozenEstimator(StandardScaler().fit(X)), Ridge()),
        make_pipeline(FunctionTransformer(np.abs), Ridge()),
        VotingRegressor([("a", FITTED), ("b", Lasso())]),
    ],
    ids=["fitted, cloned", "frozen scaler", "function", "voting"],
)
def test_models_that_each_fold_fits_anew_are_taken(model):
    stack = StackedMOS([("a", model), ("b", Ridge(10))], cv=3, validation=None)
    assert stack.fit(X, Y).predict(X).shape == (60,)


def test_prefit_models_without_a_list_of_clips_are_named_in_the_report():
    stack = StackedMOS([("a", FROZEN), ("b", FITTED)], cv="prefit").fit(X, Y)
    (warning,) = [w for w in stack.assess(rivals=()).warnings if "Prefit" in w]
    assert "'a', 'b' carry no ids of their training clips" in warning


def clips_and_tables():
    ids = [f"c{k}" for k in range(60)]
    tables = [
        PredictionTable.from_scores(
            name, ids, ("mos",), np.clip(Y + RNG.normal(0, 0.3, 60), 1, 5)
        )
        for name in ("a", "b")
    ]
    return pd.DataFrame({"clip_id": ids}), tables


def test_a_prefit_stack_is_refused_on_the_rows_that_it_was_fitted_on():
    clips, (first, second) = clips_and_tables()
    inner = StackedMOS([("a", first), ("b", second)], cv="prefit").fit(clips, Y)
    outer = StackedMOS([("inner", inner), ("a", first)], cv="prefit")
    with pytest.raises(
        UsageError, match="'inner' is a stack that was fitted on 60 of these rows"
    ):
        outer.fit(clips, Y)


def test_a_column_that_is_the_labels_is_refused_as_a_base_model():
    clips, (honest, _) = clips_and_tables()
    copied = PredictionTable.from_scores("m", clips["clip_id"], ("mos",), Y)
    for cv in (3, "prefit"):
        stack = StackedMOS([("honest", honest), ("mean_rating", copied)], cv=cv)
        with pytest.raises(UsageError, match="'mean_rating' predicts the labels"):
            stack.fit(clips, Y)
    scores = pd.DataFrame({"honest": honest.scores[:, 0], "mean_rating": Y})
    scores.index = clips["clip_id"]
    with pytest.raises(UsageError, match="'mean_rating' predicts the labels"):
        StackedMOS.from_predictions(scores, pd.Series(Y, scores.index))


def test_labels_among_the_features_are_named_in_the_log(caplog):
    with_labels = np.column_stack([X, Y])
    bases = [("a", Ridge(1e-12)), ("b", Ridge())]
    StackedMOS(bases, cv=3, validation=None).fit(with_labels, Y)
    messages = [r.getMessage() for r in caplog.records if "labels?" in r.getMessage()]
    assert any(m.startswith("'a' predicts the labels of 'mos'") for m in messages)
