"""Presets of all families of base models, by name."""

from __future__ import annotations

from typing import TypeAlias

from base_models.config import MODELS, BaseConfig
from base_models.errors import one_of
from base_models.pooled_config import POOLED_MODELS, PooledConfig

AnyConfig: TypeAlias = BaseConfig | PooledConfig

ALL_MODELS = (*MODELS, *POOLED_MODELS)
"""Names of all presets."""


def read_preset(name: str, settings: str | None = None) -> AnyConfig:
    """A preset by name, optionally under other training settings.

    Parameters
    ----------
    name : str, one of `ALL_MODELS`
    settings : str or None
        Training settings of its family, see `Settings.preset`.

    Raises
    ------
    UsageError
        when there is no such preset, or its family has no such settings.

    Examples
    --------
    >>> read_preset("pooled_gp").regressor
    'gp'
    """
    one_of(name, ALL_MODELS, "preset")
    if name in POOLED_MODELS:
        return PooledConfig.preset(name, settings)
    return BaseConfig.preset(name, settings)
