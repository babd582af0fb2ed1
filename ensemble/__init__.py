"""StackedMOS, its base models and their helpers: what users of the library import.

In: clips and ratings. Out: scores with intervals, and what they are worth. Each name is
loaded when it is first used, so that importing ``ensemble`` does not import torch. Read
`ensemble.estimator.stacked_mos` first.

>>> import ensemble
>>> "StackedMOS" in dir(ensemble)
True
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ensemble.version import __version__

if TYPE_CHECKING:
    from base_models.clips.read_clips import read_clips
    from base_models.pooled.pooled_mos import PooledMOS
    from base_models.training.neural_mos import NeuralMOS
    from ensemble.estimator.stacked_mos import StackedMOS
    from ensemble.evaluate_arrays import evaluate
    from ensemble.training.estimators_by_name import model_set

_MODULE_OF_NAME = {
    "StackedMOS": "ensemble.estimator.stacked_mos",
    "NeuralMOS": "base_models.training.neural_mos",
    "PooledMOS": "base_models.pooled.pooled_mos",
    "read_clips": "base_models.clips.read_clips",
    "model_set": "ensemble.training.estimators_by_name",
    "evaluate": "ensemble.evaluate_arrays",
}

__all__ = [
    "NeuralMOS",
    "PooledMOS",
    "StackedMOS",
    "__version__",
    "evaluate",
    "model_set",
    "read_clips",
]


def _refuse_shadows() -> None:
    """Name a file of the user that hides a package which this one needs.

    Of a ``meta.py`` in the working folder Python would only say that meta is no
    package.

    Raises
    ------
    ImportError
    """
    home = Path(__file__).resolve().parent.parent
    for package in ("base_models", "meta"):
        spec = importlib.util.find_spec(package)
        origin = Path((spec and spec.origin) or "").resolve()
        if spec is not None and origin.parent.parent != home:
            raise ImportError(
                f"{origin} hides the package '{package}' of stackedmos, which lies in "
                f"{home}; rename that file or folder, or work in another folder."
            )


_refuse_shadows()


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF_NAME:
        raise AttributeError(f"module 'ensemble' has no attribute '{name}'")
    module = importlib.import_module(_MODULE_OF_NAME[name])
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF_NAME])
