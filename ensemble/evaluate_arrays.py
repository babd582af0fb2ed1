"""``evaluate(truth, predicted)``: every metric of two arrays, lists, or tables.

The door for people with numbers at hand: it takes what they are in, and gives a table
that reads well where it is printed. `base_models.metrics.evaluate` does the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from base_models.errors import UsageError, one_of, some
from base_models.metrics.evaluate import LEVELS, METRICS, Truth
from base_models.metrics.evaluate import evaluate as evaluate_aspects

Scores: TypeAlias = ArrayLike | pd.Series | pd.DataFrame | Mapping[Any, Any]
"""Numbers of n clips: an array, list or Series of them, a frame or a mapping with one
for each aspect, or a mapping from clip to number."""
Systems: TypeAlias = Iterable[str] | pd.Series | Mapping[Any, str]

_ONE_ASPECT = "score"
_TITLES = dict(zip(LEVELS, ("per clip", "per system"), strict=True))


class MetricTable(pd.DataFrame):
    """The metrics, as a DataFrame; printed, one line a metric with its intervals.

    Columns are those of `base_models.metrics.evaluate.evaluate`: aspect, level, metric,
    value, low, high, n and note. What is cut out of it is a DataFrame as any other.
    """

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        # pandas asks for the type of what is cut out of this one.
        return pd.DataFrame

    def of(
        self, metric: str, level: str = "utterance", aspect: str | None = None
    ) -> float:
        """The value of one metric.

        Parameters
        ----------
        metric : ``"mse"``, ``"lcc"``, ``"srcc"`` or ``"ktau"``
        level : ``"utterance"`` or ``"system"``
        aspect : its name; None takes the only one

        Raises
        ------
        UsageError
            when there is no such number.
        """
        aspects = list(dict.fromkeys(self["aspect"]))
        if aspect is None and len(aspects) > 1:
            raise UsageError(f"Name an aspect; there are {some(aspects)}.")
        wanted = (
            one_of(aspects[0] if aspect is None else aspect, aspects, "aspect"),
            one_of(level, LEVELS, "level"),
            one_of(metric, METRICS, "metric"),
        )
        place = dict(
            zip(
                zip(self["aspect"], self["level"], self["metric"], strict=True),
                self["value"],
                strict=True,
            )
        )
        return float(place[wanted])

    def __repr__(self) -> str:
        try:
            return "\n".join(self._lines())
        except KeyError:
            # Somebody renamed or dropped a column.
            return str(pd.DataFrame(self))

    def _lines(self) -> list[str]:
        lines = []
        for aspect in dict.fromkeys(self["aspect"]):
            rows = self[self["aspect"] == aspect]
            row_of = {
                (row["level"], row["metric"]): row for row in rows.to_dict("records")
            }
            n_systems = row_of["system", "mse"]["n"]
            levels = LEVELS if n_systems > 1 else LEVELS[:1]
            title = f"{row_of['utterance', 'mse']['n']} clips"
            if n_systems > 1:
                title += f" of {n_systems} systems"
            lines.append(f"{aspect}: {title}" if aspect != _ONE_ASPECT else title)
            titles = "".join(f"{_TITLES[level]:<24}" for level in levels)
            lines.append(f"{'':<6}{titles}".rstrip())
            for metric in METRICS:
                cells = [f"{_cell(row_of[level, metric]):<24}" for level in levels]
                lines.append(f"{metric.upper():<6}{''.join(cells)}".rstrip())
        return lines

    def _repr_html_(self) -> str:
        return str(pd.DataFrame(self)._repr_html_())


def _cell(row: Mapping[str, Any]) -> str:
    if not np.isfinite(row["value"]):
        return row["note"] or "-"
    text = f"{row['value']:.3f}"
    if np.isfinite([row["low"], row["high"]]).all():
        return f"{text} [{row['low']:.2f}, {row['high']:.2f}]"
    return text


def evaluate(
    y_true: Scores | Truth,
    y_pred: Scores,
    systems: Systems | None = None,
    aspects: Sequence[str] | None = None,
    n_bootstrap: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    prompt_ids: Iterable[str] | None = None,
) -> MetricTable:
    """Every metric of predictions at both levels, with intervals over systems.

    Parameters
    ----------
    y_true : labels of n clips, NaN where unlabelled; or a `Truth`. Two Series with
        names of clips as their index, and two mappings from clip to score, are put in
        one order
    y_pred : their predictions, in whatever form
    systems : n names, or a mapping from clip to name; None where clips have none, so
        that there is no system level and clips are resampled
    aspects : names of the columns; by default those of a frame or a mapping
    n_bootstrap, seed, level, prompt_ids : see
        `base_models.metrics.evaluate.evaluate`

    Returns
    -------
    table : MetricTable
        A DataFrame; ``table.of("srcc")`` is one number of it.

    Raises
    ------
    UsageError
        when lengths differ, a clip is on one side alone, or as in
        `base_models.metrics.evaluate.evaluate`.

    Examples
    --------
    >>> found = evaluate([1.0, 2, 3, 4], [1.5, 2, 2.5, 4], n_bootstrap=0)
    >>> found.of("mse"), found.of("srcc")
    (0.125, 1.0)
    >>> print(found)
    4 clips
          per clip
    MSE   0.125
    LCC   0.956
    SRCC  1.000
    KTAU  1.000
    """
    predicted = _Numbers.of(y_pred, "predictions")
    if isinstance(y_true, Truth):
        truth = _Numbers.of(y_true.clips, "labels")
    else:
        truth = _Numbers.of(y_true, "labels")
    # Labels give the order: systems and prompts are named in it.
    predicted = predicted.in_order_of(truth)
    names = list(aspects) if aspects is not None else _names(truth, predicted)

    labels = truth.chosen(names)
    table = evaluate_aspects(
        Truth(labels, y_true.systems) if isinstance(y_true, Truth) else labels,
        predicted.chosen(names),
        _system_names(systems, truth.clips),
        aspects=names,
        n_bootstrap=n_bootstrap,
        seed=seed,
        level=level,
        prompt_ids=prompt_ids,
    )
    return MetricTable(table)


class _Numbers:
    """Scores of n clips as an array, with the names of clips and aspects, if known.

    Parameters
    ----------
    what : whose they are, for messages
    values : array of shape (n, aspects)
    clips : n names, or None
    aspects : names, or None
    """

    def __init__(
        self,
        what: str,
        values: np.ndarray,
        clips: list[Any] | None = None,
        aspects: list[str] | None = None,
    ) -> None:
        self.what = what
        self.values = values
        self.clips = clips
        self.aspects = aspects

    @classmethod
    def of(cls, scores: Any, what: str) -> _Numbers:
        if isinstance(scores, Mapping):
            # {"mi": [3, 4]} has columns, {"a.wav": 3} has clips.
            are_columns = any(np.ndim(value) > 0 for value in scores.values())
            scores = pd.DataFrame(scores) if are_columns else pd.Series(scores)
        if isinstance(scores, pd.Series | pd.DataFrame):
            # Rows that are only counted have no names.
            is_counted = scores.index.equals(pd.RangeIndex(len(scores)))
            clips = None if is_counted else scores.index.tolist()
            aspects = None
            if isinstance(scores, pd.DataFrame):
                aspects = [str(name) for name in scores.columns]
            return cls(what, _array(scores, what), clips, aspects=aspects)
        if not isinstance(scores, np.ndarray) and isinstance(scores, Iterable):
            scores = list(scores)
        return cls(what, _array(scores, what))

    def in_order_of(self, other: _Numbers) -> _Numbers:
        """The same numbers in the order of other clips, where both name theirs."""
        if len(self.values) != len(other.values) and not (self.clips and other.clips):
            raise UsageError(
                f"{len(other.values)} {other.what} and {len(self.values)} {self.what}; "
                "give one of each per clip."
            )
        # Without names on both sides the order is taken to be the same.
        if self.clips is None or other.clips is None or self.clips == other.clips:
            return self

        place = {clip: row for row, clip in enumerate(self.clips)}
        if len(place) < len(self.clips):
            raise UsageError(f"The {self.what} name a clip twice.")
        alone = sorted(map(str, set(place) ^ set(other.clips)))
        if alone:
            raise UsageError(
                f"Clips {some(alone)} have a label or a prediction, not both; give "
                "both of the same clips."
            )
        rows = [place[clip] for clip in other.clips]
        return _Numbers(self.what, self.values[rows], other.clips, aspects=self.aspects)

    def chosen(self, names: Sequence[str]) -> np.ndarray:
        """The columns of some aspects, in their order."""
        if self.aspects is None or not set(names) <= set(self.aspects):
            return self.values
        return self.values[:, [self.aspects.index(name) for name in names]]


def _array(scores: Any, what: str) -> np.ndarray:
    try:
        values = np.asarray(scores, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The {what} are no numbers ({error}).") from error
    return values[:, None] if values.ndim == 1 else values


def _names(truth: _Numbers, predicted: _Numbers) -> list[str]:
    """The aspects that both sides name, else as many as there are columns."""
    if truth.aspects and predicted.aspects:
        both = [name for name in truth.aspects if name in predicted.aspects]
        if both:
            return both
    # Names of one side alone are those of both, if there are as many columns.
    known = truth.aspects or predicted.aspects
    n_aspects = truth.values.shape[1] if truth.values.ndim == 2 else 1
    if known and len(known) == n_aspects:
        return known
    if n_aspects == 1:
        return [_ONE_ASPECT]
    return [f"{_ONE_ASPECT} {number}" for number in range(1, n_aspects + 1)]


def _system_names(
    systems: Systems | None, clips: Sequence[Any] | None
) -> list[Any] | None:
    """The system of each clip, in the order of these."""
    if systems is None:
        return None
    if isinstance(systems, pd.Series) and clips is not None:
        # A Series by clip is a mapping; one that only counts is in the clips' order.
        is_named = not systems.index.equals(pd.RangeIndex(len(systems)))
        systems = systems.to_dict() if is_named else systems
    if not isinstance(systems, Mapping):
        return list(systems)
    if clips is None:
        raise UsageError(
            "Systems by clip need labels by clip, such as a Series with clips as its "
            "index; or give one system per clip, in their order."
        )
    lacking = [str(clip) for clip in clips if clip not in systems]
    if lacking:
        raise UsageError(f"Clips {some(lacking)} have no system; name it for all.")
    return [systems[clip] for clip in clips]
