"""PooledConfig: what decides a base model on pooled embeddings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from base_models.bins import SOFTEN_SIGMA
from base_models.errors import UsageError, one_of
from base_models.settings import PRESETS, Settings, toml_names

FAMILY = "pooled"
"""What the files of such a model call its family."""
FAMILY_VERSION = 1
"""Raised when the same config, data and seed would fit other models.

Runs of an older version are then fitted anew.
"""
REGRESSORS = ("svr", "ridge", "gp", "forest")
POOLED_MODELS = toml_names(PRESETS / "pooled")
"""Presets of base models on pooled embeddings."""


@dataclass(frozen=True, kw_only=True)
class PooledConfig(Settings):
    """One base model on pooled embeddings: a scikit-learn regressor for each aspect.

    Such weak learners are what UTMOS22 (Saeki et al., 2022, section 3.2) stacks beside
    its neural ones. They have few parameters to learn, which is what a listening test
    of some hundred clips can carry.

    Parameters
    ----------
    regressor : str
        ``"svr"`` support vectors with a Gaussian kernel, ``"ridge"``, ``"gp"`` a
        Gaussian process, ``"forest"`` extremely randomised trees.
    inner_folds : int
        Folds of the training clips in which parameters are tuned.
    sigma : float
        Width, in score points, with which a score is softened into a distribution. The
        Gaussian process has a width of its own for each clip.

    Raises
    ------
    UsageError
        when a value is illegal.
    """

    FOLDER: ClassVar[Path] = PRESETS / "pooled"

    name: str = "pooled_ridge"
    regressor: str = "ridge"
    inner_folds: int = 5
    sigma: float = SOFTEN_SIGMA

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of(self.regressor, REGRESSORS, "regressor")
        if self.inner_folds < 2:
            raise UsageError(f"inner_folds must be at least 2; got {self.inner_folds}.")
        # Negated, so that NaN is refused.
        if not self.sigma > 0:
            raise UsageError(f"sigma must be positive; got {self.sigma}.")

    def _versions(self) -> dict[str, Any]:
        # Also tells this family's defaults from those of the networks.
        return {FAMILY: FAMILY_VERSION}
