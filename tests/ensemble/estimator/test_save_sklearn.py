"""A stack of scikit-learn models, saved and loaded, is the same stack."""

import numpy as np
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from base_models.errors import DamagedArtifact, UsageError
from base_models.files import seal
from ensemble.estimator.stacked_mos import StackedMOS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
NEW = RNG.normal(size=(10, 3))
Y = np.clip(3 + X @ np.array([[1.0, 0.2], [0.0, 1.0], [0.3, 0.0]]), 1, 5)
BASES = [
    ("scaled", make_pipeline(StandardScaler(), SVR())),
    ("forest", RandomForestRegressor(3, random_state=0)),
    ("ratings", LogisticRegression()),
]


@pytest.fixture(scope="module")
def stack():
    return StackedMOS(BASES, cv=2).fit(X, Y)


@pytest.mark.parametrize("final", ["ridge", LinearRegression(), "LinearRegression"])
@pytest.mark.parametrize("labels", [Y, Y[:, 0]], ids=["two aspects", "one"])
def test_it_predicts_the_same(final, labels, tmp_path):
    stack = StackedMOS(BASES, final, cv=2, validation=None).fit(X, labels)
    stack.save(tmp_path / "stack")
    again = StackedMOS.load(tmp_path / "stack")
    np.testing.assert_array_equal(again.predict(NEW), stack.predict(NEW))
    np.testing.assert_array_equal(
        again.predict_distribution(NEW), stack.predict_distribution(NEW)
    )
    np.testing.assert_array_equal(again.transform(NEW), stack.transform(NEW))
    assert [name for name, _ in again.estimators_] == [name for name, _ in BASES]

    again.save(tmp_path / "again")
    third = StackedMOS.load(tmp_path / "again")
    np.testing.assert_array_equal(third.predict(NEW), stack.predict(NEW))


def test_it_remembers_its_features(stack, tmp_path):
    stack.save(tmp_path / "matrix")
    again = StackedMOS.load(tmp_path / "matrix")
    with pytest.raises(ValueError, match="expecting 3 features"):
        again.predict(NEW[:, :2])

    frame = pd.DataFrame(X, columns=list("pqr"))
    named = StackedMOS([("r", Ridge())], cv=2).fit(frame, Y)
    named.save(tmp_path / "frame")
    again = StackedMOS.load(tmp_path / "frame")
    np.testing.assert_array_equal(again.predict(frame), named.predict(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        again.predict(frame[list("rqp")])


def test_the_same_stack_has_the_same_bytes(stack, tmp_path):
    for name in ("one", "two"):
        stack.save(tmp_path / name)
    manifests = [
        (tmp_path / name / "manifest.json").read_bytes() for name in ("one", "two")
    ]
    assert manifests[0] == manifests[1]


@pytest.mark.parametrize("where", ["base", "final"])
def test_one_that_cannot_be_read_back_leaves_nothing_behind(where, tmp_path):
    neighbours = KNeighborsRegressor()
    bases = [("near", neighbours if where == "base" else Ridge())]
    final = neighbours if where == "final" else "ridge"
    stack = StackedMOS(bases, final, cv=2).fit(X, Y)
    owner = {"base": "Base model 'near'", "final": "The final estimator"}[where]
    with pytest.raises(UsageError, match=f"{owner} holds .*KNeighborsRegressor"):
        stack.save(tmp_path / "stack")
    assert not list(tmp_path.iterdir())


def test_a_changed_file_is_noticed_sealed_or_not(stack, tmp_path):
    stack.save(tmp_path)
    file = tmp_path / "base" / "scaled" / "estimator.skops"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DamagedArtifact, match="was changed after it was written"):
        StackedMOS.load(tmp_path)
    seal(tmp_path, "stack")
    with pytest.raises(DamagedArtifact, match="not a stored scikit-learn estimator"):
        StackedMOS.load(tmp_path)
