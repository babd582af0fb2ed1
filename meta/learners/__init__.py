"""Meta-learners by name: from the distributions of base models to one aspect's score.

In: features (rows, models·bins) with their `Layout`, and scores. Out: a fitted
`Learner` that predicts scores. Read `base.py` first, then `weighted_scores.py`.
"""

from __future__ import annotations

from meta.learners.auto import Auto
from meta.learners.base import Learner
from meta.learners.lightgbm import LightGBM, PaperLightGBM
from meta.learners.pools import CRPSPool, LogPool, LogScorePool
from meta.learners.ridge import PaperRidge, Ridge
from meta.learners.stack import Stack
from meta.learners.weighted_scores import Best, Greedy, Mean, Simplex, Skill

USUAL_LEARNER = "stack"
"""The learner of a stack that names none."""

LEARNERS: dict[str, type[Learner]] = {
    "stack": Stack,
    "ridge": Ridge,
    "lightgbm": LightGBM,
    # As published (DORA-MOS, section III.D).
    "paper_ridge": PaperRidge,
    "paper_lightgbm": PaperLightGBM,
    "mean": Mean,
    "best": Best,
    "skill": Skill,
    "simplex": Simplex,
    "greedy": Greedy,
    # Another name of "mean", so that stacks that were stored under it still load: a
    # linear pool with equal weights has the plain mean of the models' scores.
    "linear_pool": Mean,
    "log_pool": LogPool,
    "crps": CRPSPool,
    "log_score": LogScorePool,
    "auto": Auto,
}
