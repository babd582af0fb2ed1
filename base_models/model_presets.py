"""Presets of all families of base models, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from base_models.config import MODELS, BaseConfig
from base_models.errors import one_of
from base_models.pooled_config import POOLED_MODELS, PooledConfig

AnyConfig: TypeAlias = BaseConfig | PooledConfig

FAMILIES: tuple[type[AnyConfig], ...] = (BaseConfig, PooledConfig)
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


def configured(
    name: str, settings: str | None, changes: Mapping[str, Any], source: str
) -> AnyConfig:
    """A preset under settings, with single changes laid over it.

    Parameters
    ----------
    name, settings : as `read_preset` takes them
    changes : mapping of str to value
        Those that only another family of presets knows are left out, so that one
        mapping serves models of both.
    source : str, the file or caller that a message names

    Raises
    ------
    UsageError
        as `read_preset` does; when no family knows a key, or a value is illegal.

    Examples
    --------
    >>> changes = {"max_epochs": 3, "inner_folds": 4}
    >>> configured("pooled_gp", None, changes, "here").inner_folds
    4
    """
    config = read_preset(name, settings)
    own = set(config.setting_names()) | {"bins"}
    of_others = {key for family in FAMILIES for key in family.setting_names()} - own
    return config.updated(
        {key: value for key, value in changes.items() if key not in of_others}, source
    )
