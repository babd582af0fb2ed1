"""Meta-learners by name."""

from __future__ import annotations

from meta.boosting import LightGBM
from meta.combine import Mean
from meta.learner import Learner
from meta.ridge import Ridge

LEARNERS: dict[str, type[Learner]] = {"ridge": Ridge, "lightgbm": LightGBM, "mean": Mean}
