"""Checks of fitted arrays that compiled code of scikit-learn believes without looking.

A tree is an array of nodes that name each other by number, and a support vector machine
several arrays of one length. A number out of range would be read or written outside of
the array, so these are checked when they come from a file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

_KERNELS = ("linear", "poly", "rbf", "sigmoid")
_LEAF = -1
_MOST_JOBS = 256
"""More than any machine has use for."""


def check_fitted_arrays(estimator: Any) -> None:
    """Check an estimator and all that it consists of, before it predicts.

    Raises
    ------
    ValueError
        when arrays do not fit each other.
    """
    for part in _parts_of(estimator):
        _check_methods(part)
        _check_processes(part)
        for kind in type(part).__mro__:
            check = _CHECKS.get(kind.__name__)
            if check is not None:
                check(part)


def _parts_of(whole: Any) -> Iterator[Any]:
    """All objects that an object holds, itself included, each once."""
    seen: dict[int, Any] = {}
    waiting = [whole]
    while waiting:
        part = waiting.pop()
        if id(part) in seen:
            continue
        seen[id(part)] = part
        yield part
        if isinstance(part, Mapping):
            waiting += part.values()
        elif isinstance(part, list | tuple | set):
            waiting += part
        elif isinstance(part, np.ndarray):
            if part.dtype.hasobject:
                waiting += part.ravel().tolist()
        else:
            waiting += _attributes(part).values()


def _attributes(part: Any) -> dict[str, Any]:
    return getattr(part, "__dict__", {})


def _check_methods(part: Any) -> None:
    """Refuse attributes that hide a method or a private constant of their class.

    What the method makes sure of would not be made sure of.
    """
    kind = type(part)
    if kind.__module__.split(".")[0] not in ("sklearn", "ensemble"):
        return
    for name in _attributes(part):
        of_class = getattr(kind, name, None)
        hides = callable(of_class) or (name.startswith("_") and of_class is not None)
        _require(not hides, f"an attribute hides {kind.__name__}.{name}")


def _check_processes(part: Any) -> None:
    """Refuse a number of threads or processes that would take the machine."""
    n_jobs = _attributes(part).get("n_jobs")
    is_number = isinstance(n_jobs, int | np.integer) and abs(int(n_jobs)) <= _MOST_JOBS
    _require(n_jobs is None or is_number, f"n_jobs is {str(n_jobs)[:40]}")


def _require(condition: Any, what: str) -> None:
    if not condition:
        raise ValueError(what)


def _n_features(estimator: Any) -> int:
    """Columns that ``predict`` makes sure of; without this it would not look."""
    n = getattr(estimator, "n_features_in_", None)
    if not isinstance(n, int | np.integer) or n <= 0:
        raise ValueError("n_features_in_ is damaged")
    return int(n)


def _check_nodes(left: np.ndarray, right: np.ndarray, inner: np.ndarray) -> None:
    """Children of inner nodes come after them, so that every path ends in a leaf."""
    number = np.arange(len(inner))
    for child in (left, right):
        child = child.astype(np.int64)
        in_order = (child > number) & (child < len(inner))
        _require(in_order[inner].all(), "a node of a tree names no later node")


def _check_decision_tree(estimator: Any) -> None:
    if not hasattr(estimator, "tree_"):
        return
    tree = estimator.tree_
    _require(type(tree).__name__ == "Tree", "tree_ is no tree")
    # Checked first: the arrays below are views of node_count rows.
    _require(1 <= tree.node_count == tree.capacity, "a tree has no nodes")
    _require(tree.n_features == _n_features(estimator), "a tree is of other features")
    _require(tree.n_outputs == estimator.n_outputs_, "a tree is of other outputs")
    left = tree.children_left
    right = tree.children_right
    inner = left != _LEAF
    _check_nodes(left, right, inner)
    feature = tree.feature[inner]
    known = (feature >= 0) & (feature < tree.n_features)
    _require(known.all(), "a tree splits on a feature that there is not")


def _check_forest(estimator: Any) -> None:
    # The forest checks the columns of X, and its trees do not.
    for tree in getattr(estimator, "estimators_", []):
        _require("BaseDecisionTree" in _class_names(tree), "a forest holds no tree")
        _require(hasattr(tree, "tree_"), "a tree of a forest is not fitted")
        _require(
            _n_features(tree) == _n_features(estimator),
            "a forest and its trees are of other features",
        )


def _check_gradient_boosting(estimator: Any) -> None:
    if not hasattr(estimator, "estimators_"):
        return
    trees = estimator.estimators_
    _require(isinstance(trees, np.ndarray) and trees.ndim == 2, "trees are damaged")
    # One column of raw predictions, which compiled code adds to.
    _require(
        trees.shape[1] == estimator.n_trees_per_iteration_ == 1, "trees are damaged"
    )
    _check_forest_of(estimator, trees.ravel().tolist())
    initial = estimator.init_
    if not isinstance(initial, str):
        _require(
            type(initial).__name__ == "DummyRegressor" and initial.n_outputs_ == 1,
            "boosting starts from another model than a constant",
        )


def _check_forest_of(estimator: Any, trees: list[Any]) -> None:
    for tree in trees:
        _require("BaseDecisionTree" in _class_names(tree), "boosting holds no tree")
        fitted = tree.tree_
        _require(
            _n_features(tree) == _n_features(estimator)
            and fitted.n_outputs == fitted.max_n_classes == 1,
            "boosting and its trees are of other features",
        )


def _check_histogram_boosting(estimator: Any) -> None:
    if not hasattr(estimator, "_predictors"):
        return
    n_features = _n_features(estimator)
    # It would change the columns after they were counted.
    _require(estimator._preprocessor is None, "categorical features are not read back")
    categorical = np.asarray(estimator._bin_mapper.is_categorical_)
    _require(categorical.shape == (n_features,), "bins are of other features")
    _require(not categorical.any(), "categorical features are not read back")
    for trees in estimator._predictors:
        for tree in trees:
            _require(type(tree).__name__ == "TreePredictor", "boosting holds no tree")
            nodes = tree.nodes
            _require(nodes.ndim == 1 and len(nodes) >= 1, "a tree has no nodes")
            inner = nodes["is_leaf"] == 0
            _check_nodes(nodes["left"], nodes["right"], inner)
            feature = nodes["feature_idx"][inner]
            known = (feature >= 0) & (feature < n_features)
            _require(known.all(), "a tree splits on a feature that there is not")
            _require(not nodes["is_categorical"].any(), "a tree splits on categories")


def _check_support_vectors(estimator: Any) -> None:
    if not hasattr(estimator, "support_vectors_"):
        return
    n_features = _n_features(estimator)
    vectors = estimator.support_vectors_
    n = len(vectors)
    classifies = "ClassifierMixin" in _class_names(estimator)
    n_classes = len(estimator.classes_) if classifies else 2
    n_pairs = n_classes * (n_classes - 1) // 2
    # Regression has one number of vectors, and does not use it.
    n_of_classes = estimator._n_support if classifies else estimator._n_support[:1]
    fits = (
        estimator.kernel in _KERNELS
        and estimator._sparse is False
        and vectors.shape == (n, n_features)
        and estimator.support_.shape == (n,)
        and estimator._n_support.shape == (n_classes,)
        and (estimator._n_support >= 0).all()
        and n_of_classes.sum() == n
        and estimator._dual_coef_.shape == (n_classes - 1, n)
        and estimator._intercept_.shape == (n_pairs,)
        and estimator._probA.shape in ((0,), (n_pairs,))
        and estimator._probB.shape == estimator._probA.shape
    )
    _require(n >= 1 and fits, "support vectors do not fit each other")


def _check_pipeline(estimator: Any) -> None:
    # A cache of fitted steps is a folder of pickles, which a later fit would load.
    _require(
        getattr(estimator, "memory", None) is None,
        "it has a cache (memory), which is not read back; set memory=None",
    )


_CHECKS: dict[str, Callable[[Any], None]] = {
    "BaseDecisionTree": _check_decision_tree,
    "BaseForest": _check_forest,
    "GradientBoostingRegressor": _check_gradient_boosting,
    "BaseHistGradientBoosting": _check_histogram_boosting,
    "BaseLibSVM": _check_support_vectors,
    "Pipeline": _check_pipeline,
}
"""Checks by the name of a class of scikit-learn, of which a part may be a subclass."""


def _class_names(part: Any) -> set[str]:
    return {kind.__name__ for kind in type(part).__mro__}
