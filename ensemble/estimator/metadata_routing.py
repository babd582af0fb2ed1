"""Weights, groups and other metadata of a fit: which estimator gets what.

With scikit-learn's metadata routing, those get it who requested it
(``set_fit_request``). Without routing, base models and a foreign final estimator get
the weights, splitters and models over encoders the groups. A model that takes no
weights is refused by name: it would otherwise be fitted as if there were none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from inspect import signature
from typing import Any

from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    process_routing,
)
from sklearn.utils.validation import has_fit_parameter

from base_models.errors import UsageError, some
from base_models.predictions import PredictionTable
from ensemble.estimator.sklearn_compat import raise_for_params, routing_enabled
from meta.learners.base import Learner
from meta.rows import Rows

SPLITTERS = ("cv", "validation")
"""Parameters of `StackedMOS` that may be splitters, which may ask for metadata."""


def router_of(stack: BaseEstimator) -> MetadataRouter:
    """Who may ask for metadata.

    The stack itself, its base models and its final estimator for `fit`, and its
    splitters for `split`.
    """
    router = MetadataRouter(owner=stack).add_self_request(stack)
    to_fit = MethodMapping().add(caller="fit", callee="fit")
    for name, model in stack.estimators or []:
        if hasattr(model, "get_metadata_routing"):
            router.add(**{name: model}, method_mapping=to_fit)
    if is_foreign(stack.final_estimator):
        router.add(final_estimator=stack.final_estimator, method_mapping=to_fit)

    to_split = MethodMapping().add(caller="fit", callee="split")
    for name in SPLITTERS:
        splitter = getattr(stack, name)
        if hasattr(splitter, "split"):
            router.add(**{name: splitter}, method_mapping=to_split)
    return router


def is_foreign(final_estimator: Any) -> bool:
    """Whether a final estimator is a regressor of scikit-learn."""
    if isinstance(final_estimator, Learner):
        return False
    return isinstance(final_estimator, BaseEstimator)


def metadata_of(
    stack: BaseEstimator,
    named: Sequence[tuple[str, Any]],
    rows: Rows,
    fit_params: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Arguments for each base model, the final estimator and the splitters, by name.

    Parameters
    ----------
    named : (name, base model) pairs
    rows : all rows of the fit, with their weights and groups
    fit_params : further metadata, which only routing can deliver

    Returns
    -------
    metadata : name of a base model, ``"final_estimator"``, ``"cv"`` or ``"validation"``
        to its arguments; arrays are as long as `rows`

    Raises
    ------
    UsageError
        when weights are given and a model takes none, or the final estimator asks for
        other metadata than weights and groups.
    """
    # Without routing, further arguments could reach nobody, which would go unnoticed.
    raise_for_params(fit_params, stack, "fit")
    given: dict[str, Any] = {}
    if rows.weights is not None:
        given["sample_weight"] = rows.weights
    if rows.groups is not None:
        given["groups"] = rows.groups

    metadata: dict[str, dict[str, Any]] = {name: {} for name, _ in named}
    metadata |= {name: {} for name in SPLITTERS}
    # Default base models were not there to request anything.
    if routing_enabled() and stack.estimators is not None:
        metadata |= _requested(stack, named, given, fit_params)
    else:
        metadata |= _by_default(stack, named, given)

    unknown = set(metadata["final_estimator"]) - {"sample_weight", "groups"}
    if unknown:
        raise UsageError(
            "Only sample_weight can reach the final estimator; got "
            f"{some(metadata['final_estimator'])}."
        )
    return metadata


def _requested(
    stack: BaseEstimator,
    named: Sequence[tuple[str, Any]],
    given: dict[str, Any],
    fit_params: Mapping[str, Any],
) -> dict[str, dict[str, Any]]:
    """Metadata by request, with scikit-learn's routing."""
    routed = process_routing(stack, "fit", **given, **fit_params)
    found = {}
    for name, model in named:
        if not isinstance(model, PredictionTable):
            found[name] = routed[name].fit
    for name in SPLITTERS:
        if hasattr(getattr(stack, name), "split"):
            found[name] = routed[name].split
    if is_foreign(stack.final_estimator):
        found["final_estimator"] = routed.final_estimator.fit
    else:
        found["final_estimator"] = given
    return found


def _by_default(
    stack: BaseEstimator, named: Sequence[tuple[str, Any]], given: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    """Metadata without routing."""
    found = {name: _for_model(name, model, given) for name, model in named}
    found["final_estimator"] = _for_model(
        "final_estimator", stack.final_estimator, given
    )
    # Splitters are given groups, never weights: none of scikit-learn's takes them.
    groups = {"groups": given["groups"]} if "groups" in given else {}
    for name in SPLITTERS:
        found[name] = groups
    return found


def _for_model(name: str, model: Any, given: dict[str, Any]) -> dict[str, Any]:
    """What a model gets without routing."""
    if isinstance(model, PredictionTable):
        return {}
    # None stands for a learner that suits the data.
    if model is None or isinstance(model, str | Learner):
        return given

    found = {}
    if "groups" in given and has_fit_parameter(model, "groups"):
        found["groups"] = given["groups"]
    if "sample_weight" not in given:
        return found

    # The weights of a pipeline go to its last step.
    if isinstance(model, Pipeline):
        step_name, taker = model.steps[-1]
        key = f"{step_name}__sample_weight"
    else:
        taker = model
        key = "sample_weight"
    if not _takes_weights(taker):
        raise UsageError(
            f"'{name}' ({type(model).__name__}) takes no sample_weight. Leave the "
            "weights out, or replace it by a model that takes them."
        )
    found[key] = given["sample_weight"]
    return found


def _takes_weights(model: Any) -> bool:
    # scikit-learn's `has_fit_parameter` does not see weights taken through **kwargs.
    parameters = signature(model.fit).parameters.values()
    return any(
        parameter.name == "sample_weight" or parameter.kind is parameter.VAR_KEYWORD
        for parameter in parameters
    )
