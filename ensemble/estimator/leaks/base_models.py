"""Base models that would make in-sample predictions pass for unseen ones.

Cross-fitting is honest only where each fold fits its models anew. An estimator that
stays fitted when it is cloned, however deep inside another one it is, has seen the rows
that its fold predicts; and a column that is the labels needs no model at all.
"""

from __future__ import annotations

import functools
import logging
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.exceptions import NotFittedError
from sklearn.utils import get_tags
from sklearn.utils.validation import check_is_fitted

from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from ensemble.estimator.predict_base_models import NamedModels, unchecked_models
from ensemble.estimator.row_splits import is_prefit
from meta.rows import Rows
from meta.splits.label_copies import label_copies, refuse_label_copies

log = logging.getLogger(__name__)

# Objects of objects are followed to here.
_MAX_DEPTH = 12
_PLAIN = (str, bytes, int, float, complex, np.ndarray, np.generic, pd.DataFrame)


def check_fitted(named: NamedModels, cv: Any, rows: Rows) -> None:
    """Refuse models in folds that stay fitted; name prefit ones that are on trust.

    Parameters
    ----------
    named : (name, base model) pairs
    cv : see `ensemble.estimator.stacked_mos.StackedMOS`
    rows : of the fit

    Raises
    ------
    UsageError
        when a model that learns from labels would enter a fold fitted already, or a
        prefit stack was fitted on some of the rows.
    """
    if is_prefit(cv):
        _refuse_stacks_of(named, rows)
        sentence = unchecked_sentence(named)
        if sentence:
            log.warning(sentence)
        return
    for name, model in named:
        if isinstance(model, PredictionTable):
            continue
        places = [place for place, _ in fitted_parts(model)]
        if places:
            raise UsageError(
                f"Base model '{name}' is fitted already ({some(places, 3)}) and stays "
                f"so in every fold of cv={cv!r}, so that it may predict rows that it "
                "has learnt from. Pass it unfitted; or, if it has seen none of these "
                "rows, pass its predictions as a PredictionTable, or all base models "
                "fitted with cv='prefit'."
            )


def unchecked_sentence(named: NamedModels) -> str:
    """What is taken on trust of prefit models, for people; "" where nothing is."""
    unchecked = unchecked_models(named)
    if not unchecked:
        return ""
    return (
        f"Prefit base models {some(unchecked, 20)} carry no ids of their training "
        "clips and cannot be checked for leaks; fit the stack on rows that they have "
        "not seen."
    )


def _refuse_stacks_of(named: NamedModels, rows: Rows) -> None:
    """Refuse stacks as base models that were fitted on some of these rows."""
    for name, model in named:
        fitted_on = getattr(getattr(model, "final_estimator_", None), "fitted_on_", ())
        # Rows of a matrix are named by their number, which says nothing.
        known = set(fitted_on).intersection(rows.ids) - {str(n) for n in rows.number}
        if known:
            raise UsageError(
                f"Base model '{name}' is a stack that was fitted on {len(known)} of "
                f"these rows ({some(sorted(known))}); its predictions of them are no "
                "test. Pass rows that it has not seen, or pass it unfitted with folds "
                "(cv=5)."
            )


def check_no_labels(
    named: NamedModels, tables: Sequence[PredictionTable], rows: Rows
) -> None:
    """Refuse stored predictions that are the labels; name models that give them.

    Parameters
    ----------
    named : (name, base model) pairs
    tables : their predictions, in that order
    rows : labelled rows

    Raises
    ------
    UsageError
        naming the predictor, see `meta.splits.label_copies`.
    """
    stored = [isinstance(model, PredictionTable) for _, model in named]
    pairs = list(zip(tables, stored, strict=True))
    refuse_label_copies([table for table, is_stored in pairs if is_stored], rows)
    # Labels of a formula can be learnt to many digits: of a model it is only said, and
    # only where nothing at all is left.
    live = [table for table, is_stored in pairs if not is_stored]
    for copy in label_copies(live, rows):
        if copy.is_exact:
            log.warning("%s: is a column of X computed from the labels?", copy)


def fitted_parts(model: Any) -> Iterator[tuple[str, BaseEstimator]]:
    """Estimators inside a model that keep what they learnt from labels when cloned.

    Found are frozen estimators, and fitted ones in lists, dicts, functions and objects
    that scikit-learn copies as they are, however deep.

    Yields
    ------
    place : str, the way to it, e.g. ``"steps[1].FrozenEstimator"``
    estimator : the fitted estimator
    """
    try:
        cloned = clone(model)
    except Exception:
        # Whatever cannot be cloned is refused where it would be fitted.
        return
    yield from _fitted(cloned, place="", seen=set(), depth=0)


def _fitted(
    value: Any, place: str, seen: set[int], depth: int
) -> Iterator[tuple[str, BaseEstimator]]:
    if isinstance(value, _PLAIN) or id(value) in seen or depth > _MAX_DEPTH:
        return
    seen.add(id(value))
    here = f"{place}.{type(value).__name__}".strip(".")
    if isinstance(value, BaseEstimator) and _knows_labels(value):
        yield here, value
        return
    for name, part in _parts(value):
        yield from _fitted(part, f"{place}{name}", seen, depth + 1)


def _knows_labels(estimator: BaseEstimator) -> bool:
    """Whether an estimator is fitted, and learns from labels."""
    try:
        check_is_fitted(estimator)
        needs_labels = bool(get_tags(estimator).target_tags.required)
    except (NotFittedError, TypeError, AttributeError):
        return False
    # What needs no fit at all counts as fitted to scikit-learn, and learnt nothing.
    return needs_labels and bool(getattr(get_tags(estimator), "requires_fit", True))


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, with the names of the parts."""
    if isinstance(value, Mapping):
        yield from ((f"[{key!r}]", part) for key, part in value.items())
    elif isinstance(value, list | tuple | set | frozenset):
        yield from ((f"[{row}]", part) for row, part in enumerate(value))
    elif isinstance(value, functools.partial):
        yield ".func", value.func
        yield ".args", value.args
        yield ".keywords", value.keywords
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    elif isinstance(value, types.FunctionType):
        yield from _parts_of_function(value)
    elif not isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
        yield from ((f".{name}", part) for name, part in _attributes(value).items())


def _parts_of_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Variables that a function takes from around it, and its default arguments."""
    for name, cell in zip(
        function.__code__.co_freevars, function.__closure__ or (), strict=True
    ):
        try:
            yield f".{name}", cell.cell_contents
        except ValueError:
            # A variable that was never set.
            continue
    for name in function.__code__.co_names:
        if name in function.__globals__:
            yield f".{name}", function.__globals__[name]
    yield ".__defaults__", function.__defaults__
    yield ".__kwdefaults__", function.__kwdefaults__


def _attributes(value: Any) -> dict[str, Any]:
    """Attributes of an object; none of those that keep theirs elsewhere."""
    return dict(getattr(value, "__dict__", {}))
