"""Boosted trees as plain arrays: fitted by LightGBM, evaluated in numpy, bit for bit.

LightGBM's own text format is parsed without bounds checks: a changed file crashes the
process or silently drops trees. It is never loaded here. Arrays are checked instead, so
that every walk down a tree ends, inside the arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from base_models.errors import DamagedArtifact, UsageError

if TYPE_CHECKING:
    from lightgbm import Booster

LINKLESS_OBJECTIVES = {
    "regression",
    "regression_l1",
    "huber",
    "fair",
    "quantile",
    "mape",
}
"""Objectives whose scores are the plain sum of the trees."""
_LEAF = -1
_CHUNK_ROWS = 4096


@dataclass(frozen=True, eq=False)
class TreeArrays:
    """A sum of regression trees.

    Nodes of all trees stand in one list, each parent before its children.

    Parameters
    ----------
    roots : int64 array (trees,), index of each tree's first node
    feature : int64 array (nodes,), column that a node looks at; -1 for a leaf
    threshold : float64 array (nodes,); a row goes left when its value is <= it
    left, right : int64 arrays (nodes,), indices of the children; a leaf points at
        itself
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

    def __post_init__(self) -> None:
        problem = self._problem_of_arrays() or self._problem_of_links()
        if problem:
            raise DamagedArtifact(f"The stored trees are damaged: {problem}.")

    def _problem_of_arrays(self) -> str | None:
        """What is wrong with types, lengths or values of the arrays, if anything."""
        integers = (self.roots, self.feature, self.left, self.right)
        if not all(_is_list_of(np.int64, array) for array in integers):
            return "node indices must be lists of 64-bit integers"

        floats = (self.threshold, self.value)
        if not all(_is_list_of(np.float64, array) for array in floats):
            return "thresholds and values must be lists of 64-bit floats"

        n_nodes = len(self.feature)
        of_nodes = (self.threshold, self.left, self.right, self.value)
        if any(len(array) != n_nodes for array in of_nodes):
            return "node arrays differ in length"

        if not all(np.isfinite(array).all() for array in floats):
            return "a threshold or value is not finite"

        if ((self.feature < _LEAF) | (self.feature >= self.n_features)).any():
            return f"a feature index is outside 0..{self.n_features - 1}"
        return None

    def _problem_of_links(self) -> str | None:
        """What is wrong with how nodes are linked, if anything."""
        n_nodes = len(self.feature)
        index = np.arange(n_nodes)
        is_leaf = self.feature == _LEAF

        leaf = index[is_leaf]
        left_of_leaf = self.left[is_leaf]
        right_of_leaf = self.right[is_leaf]
        if (left_of_leaf != leaf).any() or (right_of_leaf != leaf).any():
            return "a leaf has children"

        # Children that come after their parents rule out circles: every walk ends.
        is_split = ~is_leaf
        parents = np.tile(index[is_split], 2)
        children = np.concatenate([self.left[is_split], self.right[is_split]])
        if (children <= parents).any() or (children >= n_nodes).any():
            return "a child stands before its parent or outside the list"

        # Every node is reached exactly once, from one root or one parent.
        roots_and_children = np.concatenate([self.roots, children])
        if not np.array_equal(np.sort(roots_and_children), index):
            return "a node has no parent or two"
        return None

    @classmethod
    def from_booster(cls, booster: Booster) -> TreeArrays:
        """Read the trees of a fitted ``lightgbm.Booster``, via ``dump_model``.

        Raises
        ------
        UsageError
            when the booster is not a plain sum of numeric trees: categorical splits,
            linear leaves, missing-value branches, several outputs, averaged trees, or
            an objective with a link function.
        """
        model = booster.dump_model()
        objective = str(model.get("objective", "")).strip()
        if (
            model["num_tree_per_iteration"] != 1
            or model["average_output"]
            or objective.split(" ")[0] not in LINKLESS_OBJECTIVES
        ):
            raise UsageError(
                "Only one-output regression without link can be kept as arrays; got "
                f"objective '{objective}'."
            )
        # LightGBM writes reg_sqrt behind the name of the objective.
        if "sqrt" in objective:
            raise UsageError(
                "LightGBM's reg_sqrt transforms its predictions; train without it."
            )

        nodes: list[_Node] = []
        roots = []
        for tree in model["tree_info"]:
            roots.append(len(nodes))
            _append_tree(tree["tree_structure"], nodes)

        return cls(
            roots=np.array(roots, dtype=np.int64),
            feature=np.array([node.feature for node in nodes], dtype=np.int64),
            threshold=np.array([node.threshold for node in nodes], dtype=np.float64),
            left=np.array([node.left for node in nodes], dtype=np.int64),
            right=np.array([node.right for node in nodes], dtype=np.int64),
            value=np.array([node.value for node in nodes], dtype=np.float64),
            n_features=model["max_feature_idx"] + 1,
        )

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Add the trees up, in LightGBM's order.

        Parameters
        ----------
        X : array of shape (n, n_features), finite

        Returns
        -------
        scores : float64 array of shape (n,)
        """
        X = np.ascontiguousarray(X, dtype=np.float64)
        if X.ndim != 2 or X.shape[1] != self.n_features:
            raise UsageError(
                f"The trees were fitted on {self.n_features} features; got an array of "
                f"shape {X.shape}."
            )
        if not np.isfinite(X).all():
            raise UsageError(
                "Features for trees must be finite; found NaN or infinity."
            )

        # In chunks, since a walk keeps an index for every row and tree.
        scores = np.empty(len(X))
        for first in range(0, len(X), _CHUNK_ROWS):
            chunk = slice(first, first + _CHUNK_ROWS)
            scores[chunk] = self._predict_chunk(X[chunk])
        return scores

    def _predict_chunk(self, X: np.ndarray) -> np.ndarray:
        # The current node of each row in each tree, shape (rows, trees).
        n_trees = len(self.roots)
        node = np.broadcast_to(self.roots, (len(X), n_trees))
        rows = np.arange(len(X))[:, None]

        # A leaf points at itself on both sides, so it may look at any column: rows that
        # have arrived stay where they are.
        column = np.maximum(self.feature, 0)
        while (self.feature[node] != _LEAF).any():
            goes_left = X[rows, column[node]] <= self.threshold[node]
            node = np.where(goes_left, self.left[node], self.right[node])

        # One tree after the other: numpy's pairwise sum would round differently.
        total = np.zeros(len(X))
        for tree in range(n_trees):
            total += self.value[node[:, tree]]
        return total

    def to_arrays(self) -> dict[str, np.ndarray]:
        """Return named arrays that `from_arrays` reads back."""
        return {
            "roots": self.roots,
            "feature": self.feature,
            "threshold": self.threshold,
            "left": self.left,
            "right": self.right,
            "value": self.value,
            "n_features": np.array([self.n_features]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> TreeArrays:
        """Build trees from the arrays that `to_arrays` returned.

        Raises
        ------
        DamagedArtifact
            when an array is missing, or the arrays do not form trees.
        """
        try:
            (n_features,) = arrays["n_features"].tolist()
            return cls(
                roots=arrays["roots"],
                feature=arrays["feature"],
                threshold=arrays["threshold"],
                left=arrays["left"],
                right=arrays["right"],
                value=arrays["value"],
                n_features=int(n_features),
            )
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise DamagedArtifact(
                f"The stored trees are damaged ({error!r})."
            ) from error


def _is_list_of(kind: type[np.generic], array: np.ndarray) -> bool:
    return array.ndim == 1 and array.dtype == kind


@dataclass
class _Node:
    """A node while trees are read; fields as in `TreeArrays`."""

    feature: int
    threshold: float
    left: int
    right: int
    value: float


def _append_tree(structure: dict[str, Any], nodes: list[_Node]) -> None:
    """Add one tree of ``dump_model`` to `nodes`, parents before their children."""
    # A stack instead of recursion: chains of splits may be deeper than Python allows.
    waiting: list[tuple[dict[str, Any], _Node | None, str]] = []
    waiting.append((structure, None, ""))
    while waiting:
        dumped, parent, side = waiting.pop()
        index = len(nodes)
        if parent is not None and side == "left":
            parent.left = index
        elif parent is not None:
            parent.right = index

        if "split_index" not in dumped:
            nodes.append(_read_leaf(dumped, index))
            continue

        split = _read_split(dumped, index)
        nodes.append(split)
        # The left child is popped first.
        waiting.append((dumped["right_child"], split, "right"))
        waiting.append((dumped["left_child"], split, "left"))


def _read_leaf(dumped: dict[str, Any], index: int) -> _Node:
    if dumped.get("leaf_coeff"):
        raise UsageError(
            "Linear leaves cannot be kept as arrays; train with linear_tree=False."
        )
    return _Node(
        feature=_LEAF,
        threshold=0.0,
        left=index,
        right=index,
        value=dumped["leaf_value"],
    )


def _read_split(dumped: dict[str, Any], index: int) -> _Node:
    """An inner node; its links are set when its children are read."""
    if dumped["decision_type"] != "<=" or dumped["missing_type"] != "None":
        raise UsageError(
            f"A tree has a split of type '{dumped['decision_type']}' with missing "
            f"values '{dumped['missing_type']}'; only numeric splits of finite "
            "features can be kept as arrays."
        )
    return _Node(
        feature=dumped["split_feature"],
        threshold=dumped["threshold"],
        left=index,
        right=index,
        value=0.0,
    )
