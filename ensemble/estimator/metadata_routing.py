"""Weights, groups and other metadata of a fit: who gets what.

With scikit-learn's metadata routing, who asked for it (``set_fit_request``); without it, everybody: base models and a
foreign final estimator get the weights, splitters and neural models the groups. The trap: a model that takes no weights
would be fitted as if there were none, without a word; it is refused by name.
"""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _raise_for_params,
    _routing_enabled,
    process_routing,
)
from sklearn.utils.validation import _check_sample_weight, has_fit_parameter

from base_models.errors import UsageError
from base_models.predictions import PredictionTable
from meta.learners.base import Learner


def router_of(stack) -> MetadataRouter:
    """Who may ask for metadata: the stack itself, its base models and final estimator (fit), its splitters (split)."""
    router = MetadataRouter(owner=stack).add_self_request(stack)
    fit = MethodMapping().add(caller="fit", callee="fit")
    asking = {
        name: model
        for name, model in stack.estimators or []
        if hasattr(model, "get_metadata_routing")
    }
    if is_foreign(stack.final_estimator):
        asking["final_estimator"] = stack.final_estimator
    for name, model in asking.items():
        router.add(**{name: model}, method_mapping=fit)
    for name in ("cv", "validation"):
        if hasattr(getattr(stack, name), "split"):
            split = MethodMapping().add(caller="fit", callee="split")
            router.add(**{name: getattr(stack, name)}, method_mapping=split)
    return router


def is_foreign(final_estimator) -> bool:
    """Whether a final estimator is a regressor of scikit-learn."""
    return isinstance(final_estimator, BaseEstimator) and not isinstance(
        final_estimator, Learner
    )


def checked_weights(sample_weight, labels) -> np.ndarray | None:
    """Weights as float64 of shape (n,), none negative and not all 0; ValueError otherwise."""
    if sample_weight is None:
        return None
    return _check_sample_weight(
        sample_weight, labels, dtype=np.float64, ensure_non_negative=True
    )


def metadata_of(
    stack, named, weights, groups, fit_params: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Arguments for each base model, ``"final_estimator"``, ``"cv"`` and ``"validation"``, by name.

    Parameters
    ----------
    named : (name, base model) pairs
    weights, groups : arrays of shape (n,), or None
    fit_params : further metadata, which only routing can deliver

    Raises
    ------
    UsageError
        when weights are given and a model takes none.
    """
    _raise_for_params(fit_params, stack, "fit")
    given = {"sample_weight": weights, "groups": groups}
    given = {name: values for name, values in given.items() if values is not None}
    if _routing_enabled() and stack.estimators is not None:
        routed = process_routing(stack, "fit", **given, **fit_params)
        found = {
            name: routed[name].fit
            for name, model in named
            if not isinstance(model, PredictionTable)
        }
        found |= {
            name: routed[name].split
            for name in ("cv", "validation")
            if hasattr(getattr(stack, name), "split")
        }
        found["final_estimator"] = (
            routed.final_estimator.fit if is_foreign(stack.final_estimator) else given
        )
    else:
        to_splitters = {
            name: values for name, values in given.items() if name == "groups"
        }
        found = {name: _unasked(name, model, given) for name, model in named}
        found |= {"cv": to_splitters, "validation": to_splitters}
        found["final_estimator"] = _unasked(
            "final_estimator", stack.final_estimator, given
        )
    return {name: {} for name, _ in named} | {"cv": {}, "validation": {}} | found


def _unasked(name: str, model, given: dict[str, Any]) -> dict[str, Any]:
    """What a model gets without routing."""
    if isinstance(model, str | PredictionTable | Learner):
        return {
            key: values
            for key, values in given.items()
            if not isinstance(model, PredictionTable)
        }
    found = (
        {"groups": given["groups"]}
        if "groups" in given and has_fit_parameter(model, "groups")
        else {}
    )
    if "sample_weight" not in given:
        return found
    last = (
        model.steps[-1] if isinstance(model, Pipeline) else None
    )  # its weights go to its last step
    key = "sample_weight" if last is None else f"{last[0]}__sample_weight"
    if not _takes_weights(model if last is None else last[1]):
        raise UsageError(
            f"'{name}' ({type(model).__name__}) takes no sample_weight. Leave the weights out, or replace it by a "
            "model that takes them."
        )
    return found | {key: given["sample_weight"]}


def _takes_weights(model) -> bool:
    parameters = signature(model.fit).parameters.values()
    return any(p.name == "sample_weight" or p.kind is p.VAR_KEYWORD for p in parameters)
