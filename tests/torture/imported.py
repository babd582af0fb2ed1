"""Imports what rows, commands and training need, in the process that workers fork from.

The work itself must not be done here: its libraries would start threads, which no fork
survives.
"""

import gc
import importlib

_MODULES = (
    "base_models.clip_model",
    "base_models.pooled.pooled_mos",
    "builders",
    "commands",
    "distributed",
    "ensemble.cli.check_clips",
    "ensemble.cli.compare_systems",
    "ensemble.cli.evaluate_mos",
    "ensemble.cli.fit_base",
    "ensemble.cli.fit_meta",
    "ensemble.cli.noise_ceiling",
    "ensemble.cli.predict_mos",
    "ensemble.cli.rate_less",
    "lightgbm",
    "muq",
    "pyarrow.parquet",
    "python_calamine",
    "scipy.stats",
    "sklearn.datasets",
    "skops.io",
    "soundfile",
    "tiny_encoders",
    "torch",
    "torture.killing",
)

for _name in _MODULES:
    importlib.import_module(_name)
# What is there stays there: a collection would write into every page that is shared.
gc.freeze()
