"""Meta-learners by name."""

from __future__ import annotations

from meta.boosting import LightGBM
from meta.combine import Best, Greedy, Mean, Simplex
from meta.learner import Learner
from meta.pools import CRPSPool, LinearPool, LogPool, LogScorePool
from meta.ridge import Ridge
from meta.super_learner import Auto

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
