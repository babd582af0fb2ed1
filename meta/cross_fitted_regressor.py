"""A stack whose prediction of each clip knows no rating of the clip's system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from base_models.errors import UsageError, some
from meta.regressor import MetaRegressor


class CrossFittedRegressor(MetaRegressor):
    """A fitted `MetaRegressor` that predicts with the learners of its folds.

    Everything else is that of the regressor: its calibration is about errors on
    systems left out, and so fits these scores as well.

    Attributes
    ----------
    systems_ : mapping of clip id to system, of the clips that will be predicted
    """

    systems_: Mapping[str, str]

    @classmethod
    def of(
        cls, regressor: MetaRegressor, systems: Mapping[str, str]
    ) -> CrossFittedRegressor:
        """The same regressor, to predict clips of these systems; it stays as it is.

        Parameters
        ----------
        regressor : fitted and calibrated
        systems : clip id to system, "" where none is known

        Raises
        ------
        UsageError
            when learners of folds are missing.
        """
        without = [
            aspect
            for aspect, known in zip(
                regressor.aspects_, regressor.cross_fits_, strict=True
            )
            if known is None or not known.learners
        ]
        if without:
            raise UsageError(
                f"The stack keeps no learners of its folds for {some(without)}: it was "
                "fitted before they were kept, on clips that its base models had seen "
                "(--allow-leak), on a single system, with a scikit-learn regressor, or "
                "was adapted. Fit it anew, or rate clips that it was not fitted on."
            )
        crossed = cls(regressor.learner, regressor.random_state, regressor.missing)
        crossed.__dict__.update(regressor.__dict__)
        crossed.systems_ = dict(systems)
        return crossed

    def _predict_aspect(
        self, k: int, features: np.ndarray, clip_ids: Sequence[str]
    ) -> np.ndarray:
        known = self.cross_fits_[k]
        # `of` has refused a regressor without.
        assert known is not None
        systems = [self.systems_.get(clip, "") for clip in clip_ids]
        return known.predict(features, clip_ids, systems)
