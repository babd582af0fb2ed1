"""Meta-learners by name."""

from __future__ import annotations

from meta.learners.auto import Auto
from meta.learners.base import Learner
from meta.learners.lightgbm import LightGBM
from meta.learners.pools import CRPSPool, LinearPool, LogPool, LogScorePool
from meta.learners.ridge import Ridge
from meta.learners.weighted_scores import Best, Greedy, Mean, Simplex

LEARNERS: dict[str, type[Learner]] = {
    "ridge": Ridge,
    "lightgbm": LightGBM,
    "mean": Mean,
    "best": Best,
    "simplex": Simplex,
    "greedy": Greedy,
    "linear_pool": LinearPool,
    "log_pool": LogPool,
    "crps": CRPSPool,
    "log_score": LogScorePool,
    "auto": Auto,
}
