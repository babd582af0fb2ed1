"""Fitted scikit-learn estimators are stored whole, and nothing else is ever read."""

import io
import json
import logging
import os
import zipfile

import lightgbm
import numpy as np
import pytest
import skops.io
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import (
    AdaBoostRegressor,
    BaggingRegressor,
    ExtraTreesRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingRegressor,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import LogisticRegression, Ridge, RidgeCV, SGDRegressor
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsRegressor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    PolynomialFeatures,
    QuantileTransformer,
    StandardScaler,
)
from sklearn.svm import SVC, SVR, NuSVR
from sklearn.tree import DecisionTreeRegressor

from base_models.errors import DamagedArtifact, UsageError
from base_models.sklearn_files.estimator_files import (
    estimator_bytes,
    read_estimator,
)
from base_models.sklearn_files.trusted_types import types_by_loader
from ensemble.estimator.fit_base_models import PerAspect

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 3))
Y = np.clip(3 + X[:, 0] + 0.2 * RNG.normal(size=60), 1, 5)
WHOLE = np.round(Y)
NEW = RNG.normal(size=(20, 3))

REGRESSORS = {
    "ridge": RidgeCV(),
    "sgd": SGDRegressor(random_state=0),
    "svr": SVR(),
    "nusvr": NuSVR(kernel="poly"),
    "gaussian process": GaussianProcessRegressor(
        ConstantKernel() * RBF() + WhiteKernel(), random_state=0
    ),
    "mlp": MLPRegressor(hidden_layer_sizes=(4,), max_iter=5, random_state=0),
    "tree": DecisionTreeRegressor(random_state=0),
    "forest": RandomForestRegressor(4, random_state=0),
    "extra trees": ExtraTreesRegressor(4, random_state=0),
    "boosting": GradientBoostingRegressor(n_estimators=4, random_state=0),
    "histogram boosting": HistGradientBoostingRegressor(max_iter=4, random_state=0),
    "ada": AdaBoostRegressor(n_estimators=3, random_state=0),
    "bag": BaggingRegressor(SVR(), n_estimators=3, max_features=2, random_state=0),
    "pipeline": make_pipeline(StandardScaler(), PolynomialFeatures(), Ridge()),
    "stacking": StackingRegressor(
        [("a", Ridge()), ("b", make_pipeline(StandardScaler(), SVR()))],
        VotingRegressor([("c", Ridge()), ("d", RandomForestRegressor(2))]),
    ),
    "search": GridSearchCV(SVR(), {"C": [1, 2]}, cv=KFold(3), scoring="r2"),
    "columns": make_pipeline(
        ColumnTransformer(
            [("a", QuantileTransformer(n_quantiles=9), [0]), ("b", "drop", [1])],
            remainder="passthrough",
        ),
        Ridge(),
    ),
    "chosen": make_pipeline(SelectKBest(f_regression, k=2), Ridge()),
    "logarithm": TransformedTargetRegressor(Ridge(), func=np.log, inverse_func=np.exp),
}
CLASSIFIERS = {
    "logistic": LogisticRegression(),
    "bayes": GaussianNB(),
    "svc": SVC(),
    "forest": RandomForestClassifier(4, random_state=0),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=3),
}


def stored(estimator):
    return estimator_bytes(estimator, "Base model 'x'", "Leave it out.")


@pytest.fixture(autouse=True)
def _quiet(recwarn):
    yield
    recwarn.clear()


@pytest.mark.parametrize("name", REGRESSORS)
@pytest.mark.filterwarnings("ignore")
def test_a_regressor_predicts_the_same_after_it_was_stored(name):
    fitted = REGRESSORS[name].fit(X, Y)
    again = read_estimator(stored(fitted), "x")
    assert type(again) is type(fitted)
    np.testing.assert_array_equal(again.predict(NEW), fitted.predict(NEW))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_classifier_predicts_the_same_after_it_was_stored(name):
    fitted = CLASSIFIERS[name].fit(X, WHOLE)
    again = read_estimator(stored(fitted), "x")
    np.testing.assert_array_equal(again.predict(NEW), fitted.predict(NEW))
    if hasattr(fitted, "predict_proba"):
        np.testing.assert_array_equal(
            again.predict_proba(NEW), fitted.predict_proba(NEW)
        )


def test_one_estimator_per_aspect_is_stored_as_one():
    labels = np.column_stack([Y, Y[::-1]])
    labels[:10, 1] = np.nan
    fitted = PerAspect(SVR()).fit(X, labels)
    again = read_estimator(stored(fitted), "x")
    np.testing.assert_array_equal(again.predict(NEW), fitted.predict(NEW))


def test_the_same_estimator_has_the_same_bytes():
    fitted = REGRESSORS["stacking"].fit(X, Y)
    assert stored(fitted) == stored(fitted)


def test_the_list_names_types_that_there_are():
    objects = types_by_loader()["ObjectNode"]
    assert "sklearn.linear_model._ridge.Ridge" in objects
    assert not any(
        "lightgbm" in name for names in types_by_loader().values() for name in names
    )


# ---- refused when it is saved


class Own(RegressorMixin, BaseEstimator):
    """A regressor of one's own."""

    def fit(self, X, y):
        self.mean_ = float(np.mean(y))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


def halve(values):
    return values / 2


@pytest.mark.parametrize(
    ("estimator", "named"),
    [
        (Own(), "test_estimator_files.Own"),
        (make_pipeline(FunctionTransformer(halve), Ridge()), "halve"),
        (make_pipeline(FunctionTransformer(lambda x: x), Ridge()), "<lambda>"),
        (make_pipeline(FunctionTransformer(np.sin), Ridge()), "numpy.sin"),
        (KNeighborsRegressor(), "KDTree"),
        (lightgbm.LGBMRegressor(n_estimators=2, verbose=-1), "lightgbm.*Booster"),
    ],
    ids=["own", "function", "lambda", "ufunc", "neighbours", "lightgbm"],
)
@pytest.mark.filterwarnings("ignore")
def test_a_type_that_is_not_on_the_list_is_named_when_it_is_saved(estimator, named):
    fitted = estimator.fit(X, Y)
    message = f"Base model 'x' holds .*{named}.*trusted_types.*Leave it out"
    with pytest.raises(UsageError, match=message) as error:
        stored(fitted)
    assert len(str(error.value)) <= 500


def test_what_would_not_be_read_back_is_refused_when_it_is_saved(tmp_path):
    cached = make_pipeline(StandardScaler(), Ridge(), memory=str(tmp_path))
    with pytest.raises(UsageError, match=r"set memory=None\).*Leave it out"):
        stored(cached.fit(X, Y))
    precomputed = SVR(kernel="precomputed").fit(X @ X.T, Y)
    with pytest.raises(UsageError, match="support vectors do not fit each other"):
        stored(precomputed)


# ---- refused when it is read


def changed(data, change, arrays=None, **zip_options):
    """The same file with another schema, which `change` edits in place."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    schema = change(schema) or schema
    members["schema.json"] = json.dumps(schema).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **zip_options) as archive:
        for name, member in (members | (arrays or {})).items():
            archive.writestr(name, member)
    return buffer.getvalue()


RIDGE = stored(Ridge().fit(X, Y))


def attribute(schema, name, node):
    schema["content"]["content"][name] = node
    schema["content"]["key_types"]["content"].append(
        {"__class__": "str", "__module__": "builtins", "__loader__": "TypeNode"}
    )


RAN = []


def run(*given):
    RAN.append(given)
    return "ran"


def node(loader, module, name, **more):
    return {"__loader__": loader, "__module__": module, "__class__": name, **more}


EMPTY = node("TupleNode", "builtins", "tuple", content=[])
TEXT = node(
    "TupleNode",
    "builtins",
    "tuple",
    content=[node("JsonNode", "builtins", "str", content='"touch x"', is_json=True)],
)
HOSTILE = {
    "system": node("FunctionNode", "os", "system"),
    "own": node("FunctionNode", __name__, "run"),
    "eval as type": node("TypeNode", "builtins", "eval"),
    "called": node("ConstructorFromReduceNode", "os", "system", content=TEXT),
    "own called": node("ConstructorFromReduceNode", __name__, "run", content=TEXT),
    "loss": node("LossNode", __name__, "run", __reduce__={"args": TEXT}, content=EMPTY),
    "partial": node(
        "PartialNode",
        "functools",
        "partial",
        content={"func": node("FunctionNode", __name__, "run")},
    ),
    "method": node(
        "MethodNode",
        "sklearn.linear_model._ridge",
        "Ridge",
        content={"func": "fit", "obj": EMPTY},
    ),
    "operator": node("OperatorFuncNode", "operator", "methodcaller", attrs=TEXT),
    "trusted by another loader": node("FunctionNode", "sklearn.pipeline", "Pipeline"),
    "no loader": {"__module__": "os", "__class__": "system"},
    "unknown loader": node("PickleNode", "builtins", "str"),
    "own object": node("ObjectNode", __name__, "Own"),
    "generator": node("DefaultDictNode", "collections", "defaultdict", content={}),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_file_with_another_type_is_refused_before_anything_is_made(kind, monkeypatch):
    def unexpected(*args, **kwargs):
        raise AssertionError("skops was asked to read it")

    monkeypatch.setattr(skops.io, "loads", unexpected)
    monkeypatch.setattr(os, "system", unexpected)
    hostile = HOSTILE[kind]
    data = changed(RIDGE, lambda schema: attribute(schema, "extra", hostile))
    name = f"{hostile['__module__']}.{hostile['__class__']}"
    with pytest.raises(UsageError, match=f"stack/x.skops holds '{name}'.*who made"):
        read_estimator(data, "stack/x.skops")
    assert not RAN


def test_a_file_that_is_nothing_but_another_type_is_refused():
    data = changed(RIDGE, lambda s: node("FunctionNode", "os", "system", protocol=2))
    with pytest.raises(UsageError, match=r"holds 'os\.system'"):
        read_estimator(data, "x")


@pytest.mark.parametrize("share", [0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_damaged(share):
    with pytest.raises(DamagedArtifact, match="not a stored scikit-learn estimator"):
        read_estimator(RIDGE[: int(share * len(RIDGE))], "x")


def test_flipped_bytes_are_noticed_or_change_nothing():
    expected = read_estimator(RIDGE, "x").predict(NEW)
    rng = np.random.default_rng(0)
    for place in rng.choice(len(RIDGE), 60, replace=False):
        flipped = bytearray(RIDGE)
        flipped[place] ^= 1 << rng.integers(8)
        try:
            again = read_estimator(bytes(flipped), "x")
        except (DamagedArtifact, UsageError):
            continue
        np.testing.assert_array_equal(again.predict(NEW), expected)


def test_a_bomb_is_refused_without_being_unpacked():
    bomb = changed(
        RIDGE,
        lambda schema: None,
        {"99.npy": bytes(10**8)},
        compression=zipfile.ZIP_DEFLATED,
    )
    assert len(bomb) < 10**6
    with pytest.raises(DamagedArtifact, match="members are larger than the file"):
        read_estimator(bomb, "x")


def test_an_array_that_promises_more_than_it_holds_is_refused():
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f8", "fortran_order": False, "shape": (10**12,)}
    )
    data = changed(RIDGE, lambda schema: None, {"1.npy": header.getvalue()})
    with pytest.raises(DamagedArtifact, match=r"1\.npy is an array of float64"):
        read_estimator(data, "x")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"evil.pkl": b"x"}, "its members are"),
        ({"../1.npy": b"x"}, "its members are"),
        ({"9.npy": b"x"}, "is not an array"),
    ],
)
def test_a_member_that_does_not_belong_there_is_refused(arrays, message):
    with pytest.raises(DamagedArtifact, match=message):
        read_estimator(changed(RIDGE, lambda schema: None, arrays), "x")


@pytest.mark.parametrize("protocol", [0, 1, 3, None, "2"])
def test_another_version_of_the_format_is_refused(protocol):
    data = changed(RIDGE, lambda schema: schema.update(protocol=protocol))
    with pytest.raises(DamagedArtifact, match=r"is of format .* this version reads 2"):
        read_estimator(data, "x")


def test_a_tree_nested_without_end_is_refused():
    def nest(schema):
        inner = EMPTY
        for _ in range(400):
            inner = node("ListNode", "builtins", "list", content=[inner])
        attribute(schema, "extra", inner)

    with pytest.raises(DamagedArtifact):
        read_estimator(changed(RIDGE, nest), "x")


def test_another_version_of_scikit_learn_is_noted(caplog):
    data = changed(RIDGE, lambda schema: schema.update({"scikit-learn": "1.8.0"}))
    with caplog.at_level(logging.WARNING):
        again = read_estimator(data, "x")
    assert "stored with scikit-learn 1.8.0" in caplog.text
    assert "fit the stack again" in caplog.text
    np.testing.assert_array_equal(
        again.predict(NEW), read_estimator(RIDGE, "x").predict(NEW)
    )


# ---- arrays that compiled code would believe


def with_arrays(estimator, edit):
    """The file of an estimator whose arrays (by member) `edit` may change in place."""
    with zipfile.ZipFile(io.BytesIO(stored(estimator))) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    arrays = {
        name: np.lib.format.read_array(io.BytesIO(data))
        for name, data in members.items()
        if name.endswith(".npy")
    }
    for name, array in arrays.items():
        replaced = edit(array)
        array = array if replaced is None else replaced
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, array)
        members[name] = buffer.getvalue()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def put(field, value):
    def edit(array):
        if array.dtype.names and field in array.dtype.names:
            array[field][0] = value

    return edit


TREE = DecisionTreeRegressor(max_depth=2, random_state=0)
FOREST = RandomForestRegressor(2, max_depth=2, random_state=0)
BOOSTING = HistGradientBoostingRegressor(max_iter=2, random_state=0)


@pytest.mark.parametrize(
    ("estimator", "edit"),
    [
        (TREE, put("left_child", 10**9)),
        (TREE, put("right_child", 0)),
        (TREE, put("right_child", -7)),
        (TREE, put("feature", 3)),
        (TREE, put("feature", -4)),
        (FOREST, put("left_child", 10**9)),
        (FOREST, put("feature", 3)),
        (BOOSTING, put("left", 10**9)),
        (BOOSTING, put("right", 0)),
        (BOOSTING, put("feature_idx", 3)),
        (BOOSTING, put("is_categorical", 1)),
        (SVR(), lambda a: a[:, :2].copy() if a.shape[1:] == (3,) else None),
        (SVR(), lambda a: a[:, :1].copy() if a.ndim == 2 and len(a) == 1 else None),
    ],
)
def test_numbers_out_of_range_are_refused(estimator, edit):
    data = with_arrays(estimator.fit(X, Y), edit)
    with pytest.raises(DamagedArtifact, match="cannot be read back"):
        read_estimator(data, "x")


@pytest.mark.parametrize("estimator", [TREE, FOREST, BOOSTING, SVR()])
def test_another_number_of_features_is_refused(estimator):
    def fewer(schema):
        # A number of its own: equal numbers are stored once.
        own = {"content": "1", "__id__": 10**6}
        schema["content"]["content"]["n_features_in_"].update(own)

    def missing(schema):
        del schema["content"]["content"]["n_features_in_"]
        schema["content"]["key_types"]["content"].pop()

    for change in (fewer, missing):
        data = changed(stored(estimator.fit(X, Y)), change)
        with pytest.raises(DamagedArtifact, match="cannot be read back"):
            read_estimator(data, "x")


def test_categorical_features_are_refused():
    groups = np.column_stack([X, np.arange(60) % 4])
    boosting = HistGradientBoostingRegressor(max_iter=2, categorical_features=[3])
    with pytest.raises(UsageError, match=r"Base model .x. holds .*partial"):
        stored(boosting.fit(groups, Y))


def test_an_attribute_that_hides_a_method_is_refused():
    function = node("FunctionNode", "numpy", "exp")
    for name in ("predict", "_validate_X_predict", "__sklearn_tags__"):
        data = changed(
            stored(FOREST.fit(X, Y)),
            lambda schema, name=name: attribute(schema, name, function),
        )
        with pytest.raises(
            DamagedArtifact, match=f"hides RandomForestRegressor.{name}"
        ):
            read_estimator(data, "x")
