"""Boosted trees as plain arrays: fitted by LightGBM, evaluated in numpy, bit for bit as LightGBM does.

The trap: LightGBM's own text format is parsed without bounds checks, and a changed file crashes the process or silently
drops trees. Nothing here ever loads it; arrays are checked so that every walk down a tree ends, inside the arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from base_models.errors import DamagedArtifact, UsageError

_LINKLESS = {"regression", "regression_l1", "huber", "fair", "quantile", "mape"}
_LEAF = -1
_CHUNK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class TreeArrays:
    """A sum of regression trees. Nodes of all trees stand in one list, each parent before its children.

    Parameters
    ----------
    roots : int64 array (trees,), index of each tree's first node
    feature : int64 array (nodes,), column that a node looks at; -1 for a leaf
    threshold : float64 array (nodes,); a row goes left when its value is <= it
    left, right : int64 arrays (nodes,), indices of the children; a leaf points at itself
    value : float64 array (nodes,), what a leaf adds; 0 for inner nodes
    n_features : int, columns expected by `predict`

    Raises
    ------
    DamagedArtifact
        when the arrays are not such a forest.
    """

    roots: np.ndarray
    feature: np.ndarray
    threshold: np.ndarray
    left: np.ndarray
    right: np.ndarray
    value: np.ndarray
    n_features: int

    def __post_init__(self):
        problem = self._problem()
        if problem:
            raise DamagedArtifact(f"The stored trees are damaged: {problem}.")

    def _problem(self) -> str | None:
        nodes = len(self.feature)
        whole = (self.roots, self.feature, self.left, self.right)
        if any(array.ndim != 1 or array.dtype != np.int64 for array in whole):
            return "node indices must be lists of 64-bit integers"
        if any(
            array.ndim != 1 or array.dtype != np.float64
            for array in (self.threshold, self.value)
        ):
            return "thresholds and values must be lists of 64-bit floats"
        if any(
            len(array) != nodes
            for array in (self.threshold, self.left, self.right, self.value)
        ):
            return "node arrays differ in length"
        if not (np.isfinite(self.threshold).all() and np.isfinite(self.value).all()):
            return "a threshold or value is not finite"
        if ((self.feature < _LEAF) | (self.feature >= self.n_features)).any():
            return f"a feature index is outside 0..{self.n_features - 1}"
        index, leaf = np.arange(nodes), self.feature == _LEAF
        if (self.left[leaf] != index[leaf]).any() or (
            self.right[leaf] != index[leaf]
        ).any():
            return "a leaf has children"
        children = np.concatenate([self.left[~leaf], self.right[~leaf]])
        if (children <= np.tile(index[~leaf], 2)).any() or (children >= nodes).any():
            return "a child stands before its parent or outside the list"
        if not np.array_equal(np.sort(np.concatenate([self.roots, children])), index):
            return "a node has no parent or two"
        return None

    @classmethod
    def from_booster(cls, booster) -> TreeArrays:
        """The trees of a fitted ``lightgbm.Booster``, via ``dump_model``.

        Raises
        ------
        UsageError
            when the booster has categorical splits, linear leaves, missing-value branches, several outputs, averaged
            trees or an objective with a link function: those are not plain sums of numeric trees.
        """
        model = booster.dump_model()
        name = str(model.get("objective", "")).strip()
        if (
            model["num_tree_per_iteration"] != 1
            or model["average_output"]
            or name.split(" ")[0] not in _LINKLESS
        ):
            raise UsageError(
                f"Only one-output regression without link can be kept as arrays; got objective '{name}'."
            )
        if "sqrt" in name:
            raise UsageError(
                "LightGBM's reg_sqrt transforms its predictions; train without it."
            )
        nodes, roots = [], []
        for tree in model["tree_info"]:
            roots.append(len(nodes))
            _append(tree["tree_structure"], nodes)
        columns = list(zip(*nodes, strict=True)) if nodes else [()] * 5
        kinds = (np.int64, np.float64, np.int64, np.int64, np.float64)
        arrays = [
            np.array(column, dtype=kind)
            for column, kind in zip(columns, kinds, strict=True)
        ]
        return cls(
            np.array(roots, dtype=np.int64),
            *arrays,
            n_features=model["max_feature_idx"] + 1,
        )

    def predict(self, X) -> np.ndarray:
        """Sum of the trees for finite X of shape (n, n_features): float64 (n,), added in LightGBM's order."""
        X = np.ascontiguousarray(X, dtype=np.float64)
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise UsageError(
                f"The trees were fitted on {self.n_features} features; got an array of shape {X.shape}."
            )
        if not np.isfinite(X).all():
            raise UsageError(
                "Features for trees must be finite; found NaN or infinity."
            )
        chunks = [
            self._sum(X[first : first + _CHUNK_ROWS])
            for first in range(0, len(X), _CHUNK_ROWS)
        ]
        return np.concatenate([np.empty(0), *chunks])

    def _sum(self, X) -> np.ndarray:
        rows = np.arange(len(X))[:, None]
        node = np.broadcast_to(self.roots, (len(X), len(self.roots)))
        column = np.maximum(
            self.feature, 0
        )  # a leaf may look anywhere: both its ways lead back to it
        while (self.feature[node] != _LEAF).any():
            node = np.where(
                X[rows, column[node]] <= self.threshold[node],
                self.left[node],
                self.right[node],
            )
        total = np.zeros(len(X))
        for tree in range(
            len(self.roots)
        ):  # one by one: a pairwise sum would round differently
            total += self.value[node[:, tree]]
        return total

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Named arrays that `from_arrays` reads back."""
        names = ("roots", "feature", "threshold", "left", "right", "value")
        return {name: getattr(self, name) for name in names} | {
            "n_features": np.array([self.n_features])
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> TreeArrays:
        """Trees from named arrays; DamagedArtifact when one is missing or they do not form trees."""
        try:
            names = ("roots", "feature", "threshold", "left", "right", "value")
            (n_features,) = arrays["n_features"].tolist()
            return cls(*(arrays[name] for name in names), n_features=int(n_features))
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise DamagedArtifact(
                f"The stored trees are damaged ({error!r})."
            ) from error


def _append(structure: dict[str, Any], nodes: list[list]) -> None:
    """Add one dumped tree to `nodes` as rows [feature, threshold, left, right, value], parents first."""
    waiting = [(structure, None, 0)]
    while waiting:
        node, parent, side = waiting.pop()
        here = len(nodes)
        if parent is not None:
            nodes[parent][side] = here
        if "split_index" not in node:
            if node.get("leaf_coeff"):
                raise UsageError(
                    "Linear leaves cannot be kept as arrays; train with linear_tree=False."
                )
            nodes.append([_LEAF, 0.0, here, here, node["leaf_value"]])
            continue
        if node["decision_type"] != "<=" or node["missing_type"] != "None":
            raise UsageError(
                f"A tree has a split of type '{node['decision_type']}' with missing values '{node['missing_type']}'; "
                "only numeric splits of finite features can be kept as arrays."
            )
        nodes.append([node["split_feature"], node["threshold"], here, here, 0.0])
        waiting += [(node["right_child"], here, 3), (node["left_child"], here, 2)]
