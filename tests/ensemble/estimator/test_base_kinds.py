"""Base models of any kind: classifiers of ratings and stored predictions beside
regressors, and how they are shown.
"""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import KFold
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from base_models.bins import ScoreBins
from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from ensemble.estimator.stacked_mos import StackedMOS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = np.clip(3 + X @ np.array([[1.0, 0.2], [0.0, 1.0], [0.3, 0.0]]), 1, 5)
IDS = [f"c{k:02d}" for k in range(60)]


def clips(rows=slice(None)):
    return pd.DataFrame(X, columns=list("pqr")).assign(clip_id=IDS)[rows]


# ---- classifiers


def test_a_classifier_of_ratings_gives_a_mixture_of_softened_classes():
    stack = StackedMOS([("c", LogisticRegression())], cv=KFold(3)).fit(X, Y[:, 0])
    model = stack.estimators_[0][1]
    assert model.classes_.tolist() == [1, 2, 3, 4, 5]
    expected = model.predict_proba(X) @ ScoreBins().soften(model.classes_, 0.35)
    np.testing.assert_allclose(stack.transform(X), expected)
    assert np.corrcoef(stack.predict(X), Y[:, 0])[0, 1] > 0.8


@pytest.mark.parametrize(
    "model", [DecisionTreeClassifier(max_depth=3), LogisticRegression(), LinearSVC()]
)
def test_classifiers_predict_several_aspects_even_with_gaps_in_their_labels(model):
    gaps = np.where(RNG.random(Y.shape) < 0.2, np.nan, Y)
    for labels in (Y, gaps):
        stack = StackedMOS([("c", model), ("r", Ridge())], cv=2).fit(X, labels)
        assert stack.predict(X).shape == (60, 2)
        np.testing.assert_allclose(stack.transform(X).reshape(60, 2, 2, 20).sum(-1), 1)


def test_labels_of_a_classifier_without_probabilities_are_softened():
    stack = StackedMOS([("c", LinearSVC())], cv=2).fit(X, Y[:, 0])
    np.testing.assert_allclose(
        stack.transform(X), ScoreBins().soften(stack.estimators_[0][1].predict(X), 0.35)
    )


class Words(ClassifierMixin, BaseEstimator):
    """A classifier whose classes are no ratings."""

    def fit(self, X, y):
        self.classes_ = np.array(["bad", "good"])
        return self

    def predict_proba(self, X):
        return np.full((len(X), 2), 0.5)


def test_classes_that_are_no_ratings_and_too_few_aspects_are_refused():
    with pytest.raises(UsageError, match="classes of base model 'w' must be ratings"):
        StackedMOS([("w", Words())], cv=2).fit(X, Y[:, 0])
    fitted = LogisticRegression().fit(X, np.round(Y[:, 0]))
    with pytest.raises(UsageError, match="'c' predicts 1 aspects; expected 2"):
        StackedMOS([("c", fitted)], cv="prefit").fit(X, Y)


# ---- stored predictions


PREDICTED = np.clip(Y + np.random.default_rng(1).normal(0, 0.15, Y.shape), 1, 5)


def stored(rows=slice(None), **options):
    return PredictionTable.from_scores(
        "anything", IDS[rows], ("y0", "y1"), PREDICTED[rows], **options
    )


def test_a_table_stands_beside_models_that_are_fitted():
    for cv, n in ((3, 60), (0.5, 30)):
        bases = [("held", stored()), ("ridge", _on_columns(Ridge()))]
        stack = StackedMOS(bases, cv=cv).fit(clips(), Y)
        assert len(stack.final_estimator_.fitted_on_) == n
        assert [name for name, _ in stack.estimators_] == ["held", "ridge"]
        assert stack.predict(clips(slice(3, 7))).shape == (4, 2)
        assert np.mean((stack.predict(clips()) - Y) ** 2) < 0.05


def _on_columns(model):
    from sklearn.compose import make_column_transformer
    from sklearn.pipeline import make_pipeline

    return make_pipeline(make_column_transformer(("passthrough", list("pqr"))), model)


def test_a_table_must_hold_every_clip_and_have_seen_none():
    with pytest.raises(UsageError, match="'held' has no prediction for 'c50'"):
        StackedMOS([("held", stored(slice(50)))], cv="prefit").fit(clips(), Y)
    for cv in (3, "prefit"):
        with pytest.raises(
            UsageError,
            match="'c05' were used to train 'held'; meta-training on them leaks",
        ):
            StackedMOS([("held", stored(trained_on=frozenset({"c05"})))], cv=cv).fit(
                clips(), Y
            )
    stack = StackedMOS([("held", stored())], cv="prefit").fit(clips(), Y)
    with pytest.raises(UsageError, match="'held' has no prediction for 'new'"):
        stack.predict(pd.DataFrame({"clip_id": ["new"]}))


def test_the_scale_of_a_table_is_that_of_the_stack():
    wide = PredictionTable.from_scores(
        "m", IDS, ("mos",), 20 * PREDICTED[:, 0], bins=ScoreBins(0, 100)
    )
    stack = StackedMOS([("held", wide)], cv="prefit").fit(clips(), 20 * Y[:, 0])
    assert stack.bins_ == ScoreBins(0, 100)
    assert np.corrcoef(stack.predict(clips()), Y[:, 0])[0, 1] > 0.97


# ---- parameters and repr


def test_nested_parameters_reach_base_models_and_the_final_estimator():
    stack = StackedMOS([("a", Ridge()), ("held", stored())], Ridge())
    stack.set_params(a__alpha=3.0, final_estimator__alpha=7.0, held="drop")
    assert (stack.estimators[0][1].alpha, stack.final_estimator.alpha) == (3.0, 7.0)
    assert stack.get_params()["held"] == "drop"
    copy = clone(stack.set_params(held=stored()))
    assert copy.get_params()["a__alpha"] == 3.0
    assert copy.estimators[0][1] is not stack.estimators[0][1]


def test_the_html_shows_every_base_model():
    html = StackedMOS(
        [("first", Ridge()), ("held", stored()), ("gone", "drop")], LinearRegression()
    )._repr_html_()
    for part in (
        "first",
        "Ridge",
        "held",
        "60 predictions",
        "gone",
        "final_estimator",
        "LinearRegression",
    ):
        assert part in html
    assert "ridge" in StackedMOS(final_estimator="ridge")._repr_html_()
