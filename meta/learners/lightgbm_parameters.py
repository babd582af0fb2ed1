"""LightGBM's own parameters, by any of their names, for a learner that keeps arrays.

A parameter that LightGBM does not know only makes it print a warning, and one of its
parameters under another name may or may not win over the first. Here unknown names are
errors, and every parameter is known by one name. What the arrays of `TreeArrays` cannot
express, or what concerns anything but the growing of trees, is refused with the reason.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from base_models.errors import UsageError, some
from meta.learners.tree_arrays import LINKLESS_OBJECTIVES

_OBJECTIVE_ALIASES = {
    "regression_l2": "regression",
    "l2": "regression",
    "mean_squared_error": "regression",
    "mse": "regression",
    "l2_root": "regression",
    "root_mean_squared_error": "regression",
    "rmse": "regression",
    "l1": "regression_l1",
    "mean_absolute_error": "regression_l1",
    "mae": "regression_l1",
    "mean_absolute_percentage_error": "mape",
}
"""Other names that LightGBM has for the objectives that arrays can express."""

_FILES = (
    "it is about files, columns of files or predictions of LightGBM's own program, "
    "which is not used here"
)
_MACHINES = "it is about training on several machines, which is not done here"
_COLUMNS = "it names single columns, whose order is the learner's own"
_CLASSES = "it is about classes or ranks, and scores are a regression"
_REASONS = {
    _FILES: (
        "config task data valid input_model output_model output_result convert_model "
        "convert_model_language header label_column weight_column group_column "
        "ignore_column pre_partition precise_float_parser parser_config_file two_round "
        "save_binary saved_feature_importance_type snapshot_freq metric_freq "
        "is_provide_training_metric num_iteration_predict start_iteration_predict "
        "pred_early_stop pred_early_stop_freq pred_early_stop_margin predict_contrib "
        "predict_disable_shape_check predict_leaf_index predict_raw_score "
        "refit_decay_rate"
    ),
    _MACHINES: (
        "machines num_machines machine_list_filename local_listen_port time_out "
        "tree_learner top_k"
    ),
    _COLUMNS: (
        "categorical_feature monotone_constraints feature_contri max_bin_by_feature "
        "interaction_constraints forcedsplits_filename forcedbins_filename "
        "cegb_penalty_feature_coupled cegb_penalty_feature_lazy"
    ),
    _CLASSES: "num_class",
}
REFUSED = {name: why for why, names in _REASONS.items() for name in names.split()}
"""Parameters that are refused whatever their value, with the reason."""
REFUSED_WHERE_TRUE = {
    "linear_tree": "a linear leaf is more than one number, and arrays keep one",
    "reg_sqrt": "it transforms the sum of the trees, which arrays only add up",
    "zero_as_missing": "splits by missing values have no place in the arrays",
}
"""Switches that may only stay off, with the reason."""
_AVERAGED = "random forests average their trees, and the arrays only add them up"
_OFF = (False, 0, "false", "False", "0", "-")


def canonical_parameters(given: Mapping[str, Any], learner: str) -> dict[str, Any]:
    """LightGBM's parameters under the first of their names.

    Parameters
    ----------
    given : value by any name that LightGBM knows (``min_child_samples`` is
        ``min_data_in_leaf``)
    learner : name of the learner, for messages

    Raises
    ------
    UsageError
        when a name is unknown, one parameter is given under two names, or a parameter
        asks for what cannot be kept as arrays.

    Examples
    --------
    >>> canonical_parameters({"reg_lambda": 3, "num_leaves": 31}, "lightgbm")
    {'lambda_l2': 3, 'num_leaves': 31}
    """
    # LightGBM is slow to import, and most fits name no parameter of it.
    first_names = _first_names() if given else {}
    found: dict[str, Any] = {}
    given_as: dict[str, str] = {}
    for name, value in given.items():
        if name not in first_names:
            raise UsageError(_unknown(name, first_names, learner))
        first = first_names[name]
        if first in found:
            raise UsageError(
                f"'{given_as[first]}' and '{name}' are one parameter of LightGBM; "
                "give one of them."
            )
        _check_value(name, first, value)
        found[first] = value
        given_as[first] = name
    return found


@lru_cache(maxsize=1)
def _first_names() -> dict[str, str]:
    """Every name of every parameter, to the first name of that parameter."""
    # The list is LightGBM's own, of the version that is installed. Only this private
    # name reads it: of the public ones none knows more than a few parameters.
    from lightgbm.basic import _ConfigAliases

    names: dict[str, str] = {}
    for first, aliases in _ConfigAliases._get_all_param_aliases().items():
        names.update(dict.fromkeys(aliases, first))
    return names


def _unknown(name: str, first_names: Mapping[str, str], learner: str) -> str:
    near = difflib.get_close_matches(name, first_names, n=3, cutoff=0.6)
    hint = f" Near it: {some(near)}." if near else ""
    return (
        f"Unknown parameter of {learner} '{name}'.{hint} It takes random_state, "
        "missing, and LightGBM's parameters of training "
        "(num_leaves, learning_rate, min_child_samples, reg_lambda, n_estimators …)."
    )


def _check_value(name: str, first: str, value: Any) -> None:
    """Refuse what LightGBM knows, but the learner cannot do."""
    reason = REFUSED.get(first, "")
    is_off = value in _OFF
    if first in REFUSED_WHERE_TRUE and not is_off:
        reason = REFUSED_WHERE_TRUE[first]
    if first == "boosting" and str(value) in ("rf", "random_forest"):
        reason = _AVERAGED
    if first == "objective":
        objective = _OBJECTIVE_ALIASES.get(str(value), str(value))
        if objective not in LINKLESS_OBJECTIVES:
            legal = ", ".join(sorted(LINKLESS_OBJECTIVES))
            reason = (
                "its scores are not the plain sum of the trees, which is what the "
                f"arrays give. Objectives that can be kept: {legal}"
            )
    if reason:
        raise UsageError(f"LightGBM's {name}={value} is refused: {reason}.")
