"""What a fitted `MetaRegressor` is made of: JSON facts and named arrays, and back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from base_models.errors import MISFITS, DamagedArtifact, UsageError, in_short, some
from meta.columns.feature_table import Layout
from meta.cross_fit import CrossFit
from meta.learners import LEARNERS
from meta.learners.base import Learner
from meta.learners.sklearn_learner import SklearnLearner
from meta.uncertainty.calibration import Calibration
from meta.uncertainty.clip_range import ClipRange
from meta.uncertainty.disagreement import Disagreement
from meta.uncertainty.system_error import SystemLevelError

MOST_ASPECTS = 1_000
"""As many as a base model may have."""
SKLEARN = "scikit-learn"
"""What a saved stack calls its learner where that is a scikit-learn regressor."""


def state_of(regressor: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `restore` needs: facts for JSON, and named arrays.

    Parameters
    ----------
    regressor : MetaRegressor, fitted

    Raises
    ------
    UsageError
        when the learner is of a class that is not in `LEARNERS`.
    """
    # Arrays of aspect k: "a<k>." of its learner, "c<k>." of its calibration; "r."
    # those of the range.
    arrays: dict[str, np.ndarray] = {}
    for k, learner in enumerate(regressor.learners_):
        arrays |= _with_prefix(f"a{k}.", learner.to_arrays())

    calibration_facts: list[dict[str, Any] | None] = []
    for k, calibration in enumerate(regressor.calibrations_):
        if calibration is None:
            calibration_facts.append(None)
            continue
        of_one, of_one_arrays = calibration.to_state()
        calibration_facts.append(of_one)
        arrays |= _with_prefix(f"c{k}.", of_one_arrays)

    facts = {
        "learner": _registered_name(regressor.learners_[0]),
        "params": _json_params(regressor.learners_[0]),
        "random_state": regressor.random_state,
        "missing": regressor.missing,
        "aspects": list(regressor.aspects_),
        "layout": regressor.layout_.to_json(),
        "residual_sigma": regressor.residual_sigma_.tolist(),
        "calibrations": calibration_facts,
        "fitted_on": list(regressor.fitted_on_),
        "facts": [learner.facts_ for learner in regressor.learners_],
        "warnings": list(regressor.warnings_),
    }
    if regressor.range_ is not None:
        facts["range"], of_range = regressor.range_.to_state()
        arrays |= _with_prefix("r.", of_range)
    # Only where there are any: other stacks stay as they were.
    if any(regressor.disagreements_):
        facts["disagreements"] = [
            known and known.to_json() for known in regressor.disagreements_
        ]
    if any(regressor.system_errors_):
        facts["system_errors"] = [
            known and known.to_json() for known in regressor.system_errors_
        ]
    if len(regressor.aspects_) > 1:
        facts["error_correlations"] = regressor.error_correlations_.tolist()
    return facts, arrays


def restore(
    regressor: Any,
    facts: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    estimators: Sequence[Any],
) -> None:
    """Give a regressor what `state_of` took from another.

    Parameters
    ----------
    regressor : MetaRegressor, not fitted
    facts, arrays : what `state_of` returned
    estimators : fitted scikit-learn regressors, one per aspect; empty for own learners

    Raises
    ------
    KeyError, TypeError, ValueError
        when a fact or array is missing or does not fit the others.
    """
    regressor.layout_ = Layout.from_json(facts["layout"])
    regressor.aspects_ = tuple(_names(facts["aspects"], "aspects", MOST_ASPECTS))
    regressor.fitted_on_ = tuple(_names(facts["fitted_on"], "clips"))
    regressor.warnings_ = _texts(facts["warnings"], "warnings")

    sigmas = np.array(facts["residual_sigma"], dtype=np.float64)
    positive = np.isfinite(sigmas) & (sigmas > 0)
    if sigmas.shape != (len(regressor.aspects_),) or not positive.all():
        raise ValueError("one positive sigma per aspect is needed")
    regressor.residual_sigma_ = sigmas

    calibrations: list[Calibration | None] = []
    for k, of_one in enumerate(facts["calibrations"]):
        if of_one is None:
            calibrations.append(None)
            continue
        calibration = Calibration.from_state(of_one, _under(f"c{k}.", arrays))
        if calibration.bins != regressor.layout_.bins:
            raise ValueError("a calibration is of another scale")
        calibrations.append(calibration)
    if len(calibrations) != len(regressor.aspects_):
        raise ValueError("one calibration per aspect is needed")
    regressor.calibrations_ = calibrations
    # They stand in files of their own, which older stacks do not have.
    regressor.cross_fits_ = [None] * len(calibrations)

    # Stacks that were stored before there were any have none.
    errors = facts.get("system_errors", [None] * len(calibrations))
    if len(errors) != len(calibrations):
        raise ValueError("one error on systems per aspect is needed")
    regressor.system_errors_ = [
        known and SystemLevelError.from_json(known) for known in errors
    ]

    n_aspects = len(calibrations)
    correlations = facts.get("error_correlations", np.ones((n_aspects, n_aspects)))
    regressor.error_correlations_ = np.array(correlations, dtype=np.float64)
    is_square = regressor.error_correlations_.shape == (n_aspects, n_aspects)
    if not is_square or not (np.abs(regressor.error_correlations_) <= 1).all():
        raise ValueError("one correlation of each two aspects is needed")

    stored = facts.get("disagreements", [None] * len(regressor.aspects_))
    if len(stored) != len(regressor.aspects_):
        raise ValueError("one disagreement per aspect is needed")
    regressor.disagreements_ = [
        known and Disagreement.from_json(known, regressor.layout_.bins)
        for known in stored
    ]

    params = dict(facts["params"])
    if facts["learner"] == SKLEARN:
        regressor.learners_ = [
            SklearnLearner.from_fitted(
                estimator, regressor.layout_, learner_facts, **params
            )
            for estimator, learner_facts in zip(estimators, facts["facts"], strict=True)
        ]
        regressor.learner = regressor.learners_[0].estimator
        return

    kind = LEARNERS[facts["learner"]]
    learner_arrays = [_under(f"a{k}.", arrays) for k in range(len(regressor.aspects_))]
    regressor.learners_ = [
        kind.from_arrays(part, regressor.layout_, learner_facts, params)
        for part, learner_facts in zip(learner_arrays, facts["facts"], strict=True)
    ]
    # A learner with parameters of its own stands as an instance, not as a name.
    if params != regressor.new_learner().get_params(deep=False):
        regressor.learner = kind(**params)


def _texts(values: Any, what: str) -> list[str]:
    """A list of texts from a file, or a TypeError."""
    if not isinstance(values, list) or not all(
        isinstance(text, str) for text in values
    ):
        raise TypeError(f"{what} must be a list of texts")
    return list(values)


def _names(values: Any, what: str, most: int | None = None) -> list[str]:
    """A list of different names, at least one and at most `most`, or an error."""
    names = _texts(values, what)
    if not names or len(set(names)) != len(names):
        raise ValueError(f"{what} must be different names, at least one")
    if most is not None and len(names) > most:
        raise ValueError(
            f"there are {len(names):,} {what}, and at most {most:,} may be"
        )
    return names


def restore_range(
    regressor: Any, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Give a restored regressor the range of the clips that it was fitted on.

    Parameters and errors as in `restore`.
    """
    # Stacks that were stored before there was a range have none.
    regressor.range_ = None
    if "range" in facts:
        n_scores = len(regressor.layout_.models) * len(regressor.aspects_)
        regressor.range_ = ClipRange.from_state(
            facts["range"], _under("r.", arrays), n_scores
        )


def cross_fits_of(
    regressor: Any,
) -> tuple[list[dict[str, Any] | None], dict[str, np.ndarray]]:
    """What `restore_cross_fits` needs: facts for JSON, and named arrays.

    Parameters
    ----------
    regressor : MetaRegressor, fitted
    """
    facts: list[dict[str, Any] | None] = []
    arrays: dict[str, np.ndarray] = {}
    for k, known in enumerate(regressor.cross_fits_):
        if known is None:
            facts.append(None)
            continue
        of_one, of_one_arrays = known.to_state()
        facts.append(of_one)
        arrays |= _with_prefix(f"{k}.", of_one_arrays)
    return facts, arrays


def restore_cross_fits(
    regressor: Any,
    facts: Sequence[Mapping[str, Any] | None],
    arrays: Mapping[str, np.ndarray],
) -> None:
    """Give a restored regressor what `cross_fits_of` took from another.

    Raises
    ------
    DamagedArtifact
        when something is missing, or does not fit the regressor.
    """
    try:
        if len(facts) != len(regressor.learners_):
            raise ValueError("one entry per aspect is needed")
        found = [
            None
            if of_one is None
            else CrossFit.from_state(of_one, _under(f"{k}.", arrays), learner)
            for k, (of_one, learner) in enumerate(
                zip(facts, regressor.learners_, strict=True)
            )
        ]
        fitted_on = set(regressor.fitted_on_)
        for known in found:
            if known is not None and not fitted_on.issuperset(known.ids):
                raise ValueError("a clip was not fitted on")
    except MISFITS as error:
        raise DamagedArtifact(
            f"The learners of the stack's folds are damaged ({in_short(error)}); fit "
            "it again."
        ) from error
    regressor.cross_fits_ = found


def _json_params(learner: Learner) -> dict[str, Any]:
    """Parameters of a learner; a scikit-learn regressor is stored by itself."""
    params: dict[str, Any] = learner.get_params(deep=False)
    if isinstance(learner, SklearnLearner):
        del params["estimator"]
    return params


def _with_prefix(
    prefix: str, arrays: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    return {f"{prefix}{name}": array for name, array in arrays.items()}


def _under(prefix: str, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays whose names start with the prefix, without it."""
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }


def _registered_name(learner: Learner) -> str:
    """The name of a learner's class in `LEARNERS`, or `SKLEARN`.

    Raises
    ------
    UsageError
        when the class is not there, so that the learner could not be made again.
    """
    if isinstance(learner, SklearnLearner):
        return SKLEARN
    for name, kind in LEARNERS.items():
        if type(learner) is kind:
            return name
    raise UsageError(
        f"A learner of class '{type(learner).__name__}' cannot be saved; those that "
        f"can are {some(LEARNERS, 20)}."
    )
