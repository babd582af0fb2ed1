"""The public door: ``StackedMOS``, ``NeuralMOS``, ``read_clips``, ``evaluate``; loaded when first asked for.

>>> import ensemble
>>> "StackedMOS" in dir(ensemble)
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from base_models.clips.read_clips import read_clips
    from base_models.metrics.evaluate import evaluate
    from base_models.training.neural_mos import NeuralMOS
    from ensemble.estimator.stacked_mos import StackedMOS

_HOME = {
    "StackedMOS": "ensemble.estimator.stacked_mos",
    "NeuralMOS": "base_models.training.neural_mos",
    "read_clips": "base_models.clips.read_clips",
    "evaluate": "base_models.metrics.evaluate",
}

__all__ = ["NeuralMOS", "StackedMOS", "evaluate", "read_clips"]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'ensemble' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
