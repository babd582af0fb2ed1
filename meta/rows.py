"""Rows: some clips of a listening test, with everything that is known of each.

Every function that needs more than the labels takes a `Rows`: ids, labels, systems,
groups, prompts and weights are checked against each other once, in `Rows.of`, and
stay together from then on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.bins import ScoreBins
from base_models.clips.names import names_or_blank
from base_models.errors import UsageError, some

# NUL, so that no group of anybody is called so.
_UNKNOWN_GROUP = "\0unknown"


@dataclass(frozen=True, eq=False)
class Rows:
    """n clips; made by `of` or `from_clips`.

    Parameters
    ----------
    ids : object array of shape (n,), clip ids
    labels : float64 array of shape (n, aspects), on the rating scale; NaN where a clip
        is unlabelled or has weight 0
    aspects : names of the columns of `labels`
    systems : object array of shape (n,), "" where a clip names no system
    number : int array of shape (n,), the place of each clip among all that were given
        to `of`; `take` keeps it, so that whatever else belongs to those clips (a matrix
        of features, say) can be found
    groups : object array of shape (n,) of any values, or None; clips of equal groups
        stay together in every split, and a clip of an unknown group is one by itself
    prompts : object array of shape (n,), or None
    weights : float64 array of shape (n,), or None
    """

    ids: np.ndarray
    labels: np.ndarray
    aspects: tuple[str, ...]
    systems: np.ndarray
    number: np.ndarray
    groups: np.ndarray | None = None
    prompts: np.ndarray | None = None
    weights: np.ndarray | None = None

    @classmethod
    def of(
        cls,
        ids: Sequence[str] | np.ndarray,
        labels: ArrayLike | pd.DataFrame,
        aspects: Sequence[str],
        *,
        systems: Sequence[str] | np.ndarray | None = None,
        groups: ArrayLike | None = None,
        prompts: Sequence[str] | np.ndarray | None = None,
        weights: ArrayLike | None = None,
    ) -> Rows:
        """Check that everything belongs to the same n clips.

        Parameters
        ----------
        ids : n clip ids
        labels : array of shape (n, aspects), or (n,) for a single aspect
        aspects : names of the columns of `labels`
        systems, prompts : n names; None and NaN name nothing
        groups : n values of any kind
        weights : n weights, finite and not negative. A row of weight 0 counts as
            unlabelled

        Raises
        ------
        UsageError
            when the lengths differ, or a weight is negative or not finite.
        """
        clip_ids = np.array([str(clip) for clip in ids], dtype=object)
        n = len(clip_ids)

        values = _label_array(labels, n, tuple(aspects))
        checked_weights = _weight_array(weights, clip_ids)
        # A row of weight 0 is a row left out: nothing may learn or be judged by it.
        if checked_weights is not None:
            values = np.where(checked_weights[:, None] > 0, values, np.nan)

        no_systems = [""] * n
        return cls(
            ids=clip_ids,
            labels=values,
            aspects=tuple(aspects),
            systems=_names(no_systems if systems is None else systems, n, "system ids"),
            number=np.arange(n),
            groups=None if groups is None else _groups(groups, n),
            prompts=None if prompts is None else _names(prompts, n, "prompts"),
            weights=checked_weights,
        )

    @classmethod
    def from_clips(
        cls,
        clips: pd.DataFrame,
        aspects: Sequence[str],
        group_column: str = "",
    ) -> Rows:
        """The rows of a clip table, see `base_models.clips.read_clips.read_clips`.

        Parameters
        ----------
        clips : table with ``clip_id``, ``system_id``, the aspects, and ``prompt`` where
            prompts are known
        aspects : rated columns
        group_column : column of clips that every split keeps together, or ""
        """
        groups = None
        if group_column:
            groups = names_or_blank(clips[group_column]).tolist()
        return cls.of(
            clips["clip_id"].tolist(),
            clips[list(aspects)].to_numpy(dtype=np.float64),
            aspects,
            systems=clips["system_id"].tolist(),
            groups=groups,
            prompts=clips["prompt"].tolist() if "prompt" in clips else None,
        )

    def __len__(self) -> int:
        return len(self.ids)

    def take(self, rows: ArrayLike | slice) -> Rows:
        """Some of the rows, by place or by a mask of shape (n,)."""
        # A slice stays one: as an array it would be an object.
        places = rows if isinstance(rows, slice) else np.asarray(rows)
        return replace(
            self,
            ids=self.ids[places],
            labels=self.labels[places],
            systems=self.systems[places],
            number=self.number[places],
            groups=None if self.groups is None else self.groups[places],
            prompts=None if self.prompts is None else self.prompts[places],
            weights=None if self.weights is None else self.weights[places],
        )

    def in_id_order(self) -> Rows:
        """The same rows in the order of their ids, see `id_order`.

        Splits, folds and resamples are dealt by place. In this order they do not depend
        on the order in which clips were given.
        """
        return self.take(id_order(self.ids))

    def without_weights(self) -> Rows:
        """The same rows, each of which counts alike."""
        return replace(self, weights=None)

    @property
    def labelled(self) -> np.ndarray:
        """Bool array of shape (n,): rows with a label of some aspect and a weight."""
        return ~np.isnan(self.labels).all(axis=1)

    def usable(self) -> Rows:
        """Rows with a label and a positive weight."""
        return self.take(np.flatnonzero(self.labelled))

    def of_aspect(self, aspect: int) -> Rows:
        """The rows labelled for one aspect, given by its column, without the others."""
        rows = self.take(~np.isnan(self.labels[:, aspect]))
        return replace(
            rows, aspects=(self.aspects[aspect],), labels=rows.labels[:, [aspect]]
        )

    def keeping_together(self, groups: np.ndarray) -> Rows:
        """The same rows with other groups."""
        return replace(self, groups=_groups(groups, len(self)))

    @property
    def together(self) -> np.ndarray | None:
        """Names of what folds keep together, object array of shape (n,) or None.

        The groups; else the systems, where every clip names one.
        """
        if self.groups is not None:
            return self.group_names
        return self.systems if self.all_systems_named else None

    @property
    def group_names(self) -> np.ndarray | None:
        """The groups as text; None without groups."""
        return None if self.groups is None else _names(self.groups, len(self), "groups")

    @property
    def all_systems_named(self) -> bool:
        """Whether every clip names its system."""
        return bool((self.systems != "").all())

    @property
    def is_one_system(self) -> bool:
        """Whether every clip names the same system."""
        return self.all_systems_named and len(set(self.systems)) == 1

    def without_systems(self) -> Rows:
        """The same clips, none of which names a system."""
        return replace(self, systems=np.full(len(self), "", dtype=object))

    @property
    def label_frame(self) -> pd.DataFrame:
        """The labels as a DataFrame with one column per aspect and a RangeIndex."""
        return pd.DataFrame(self.labels, columns=list(self.aspects))

    @property
    def mean_labels(self) -> np.ndarray:
        """Mean label of each aspect, by weights; NaN where none is labelled."""
        weights = np.ones(len(self)) if self.weights is None else self.weights
        counted = np.where(np.isnan(self.labels), 0, weights[:, None])
        totals = counted.sum(axis=0)
        sums = (counted * np.nan_to_num(self.labels)).sum(axis=0)
        return np.divide(
            sums, totals, out=np.full(len(totals), np.nan), where=totals > 0
        )

    def check_scale(self, bins: ScoreBins) -> None:
        """Refuse labels off the rating scale, naming the first.

        Raises
        ------
        UsageError
            when a label lies off the scale.
        """
        # Infinity is off every scale; NaN marks an unlabelled clip and is on none.
        on_scale = (self.labels >= bins.low) & (self.labels <= bins.high)
        off_scale = ~np.isnan(self.labels) & ~on_scale
        if off_scale.any():
            row, column = np.argwhere(off_scale)[0]
            raise UsageError(
                f"Label of clip '{self.ids[row]}', aspect '{self.aspects[column]}' is "
                f"{self.labels[row, column]}; the scale is {bins.low:g}..{bins.high:g}."
            )

    def check_systems(self) -> None:
        """Refuse labelled clips without a system among others that name theirs.

        Raises
        ------
        UsageError
            when some labelled clips name a system and others do not.
        """
        unnamed = (self.systems == "") & self.labelled
        if 0 < unnamed.sum() < self.labelled.sum():
            raise UsageError(
                f"Clips {some(self.ids[unnamed])} have no system id, others have; name "
                "all systems or none."
            )


def id_order(ids: Sequence[str] | np.ndarray) -> np.ndarray:
    """Places of n ids in order: shorter ones first, alphabetically within a length.

    Numbers thus stand in their own order, which leaving one out does not change.

    Returns
    -------
    order : int64 array of shape (n,)

    >>> id_order(["clip10", "clip9", "clip11"]).tolist()
    [1, 0, 2]
    """
    texts = [str(clip) for clip in ids]
    places = sorted(range(len(texts)), key=lambda row: (len(texts[row]), texts[row]))
    return np.array(places, dtype=np.int64)


def equal_labels_warning(aspect: str, labels: np.ndarray) -> list[str]:
    """The one warning about labels that are all equal; an empty list for others."""
    if len(labels) < 2 or (labels != labels[0]).any():
        return []
    return [
        f"all {len(labels)} labels of '{aspect}' are {labels[0]:g}: nothing can be "
        "learnt or compared."
    ]


def _label_array(
    labels: ArrayLike | pd.DataFrame,
    n: int,
    aspects: tuple[str, ...],
) -> np.ndarray:
    """Labels as a float64 array of shape (n, aspects)."""
    # Labels of a single aspect may come flat, as scikit-learn's y does.
    values = np.asarray(labels, dtype=np.float64)
    if values.ndim == 1 and len(aspects) == 1:
        values = values[:, None]
    if values.shape != (n, len(aspects)):
        raise UsageError(
            f"Labels have shape {values.shape}; expected ({n}, {len(aspects)}): clips "
            "by aspects."
        )
    return values


def _weight_array(weights: ArrayLike | None, ids: np.ndarray) -> np.ndarray | None:
    """Weights as a float64 array of shape (n,), finite and not negative."""
    if weights is None:
        return None
    values = np.asarray(weights, dtype=np.float64)
    if values.shape != (len(ids),):
        raise UsageError(
            f"{len(ids)} clips need as many sample weights; got shape {values.shape}."
        )
    wrong = np.flatnonzero(~(np.isfinite(values) & (values >= 0)))
    if len(wrong):
        first = wrong[0]
        raise UsageError(
            "Sample weights must be finite and not negative; that of clip "
            f"'{ids[first]}' is {values[first]}."
        )
    return values


def _values(
    values: Any,
    n: int,
    what: str,
) -> np.ndarray:
    """n values of any kind in an object array."""
    given = np.array(list(values), dtype=object)
    if given.shape != (n,):
        raise UsageError(f"{n} clips need as many {what}; got shape {given.shape}.")
    return given


def _names(
    values: Any,
    n: int,
    what: str,
) -> np.ndarray:
    """n names as text in an object array, "" for None and NaN."""
    return names_or_blank(_values(values, n, what))


def _groups(values: Any, n: int) -> np.ndarray:
    """n groups; each unknown one is a group of its own, not one with the others."""
    given = _values(values, n, "groups")
    unknown = np.flatnonzero(names_or_blank(given) == "")
    if len(unknown):
        # As text, so that splitters can sort them among the others.
        given = names_or_blank(given)
        given[unknown] = [f"{_UNKNOWN_GROUP} {row}" for row in unknown]
    return given
