"""How long the reading of one clip may take, and how much memory it may use.

The limits are for hostile and broken files; no clip that is rated comes near them.
"""

from __future__ import annotations

import functools
import os
from typing import NamedTuple

from base_models.errors import UsageError

SECONDS_VARIABLE = "STACKEDMOS_SECONDS_PER_CLIP"
"""Environment variable with the limit in seconds, or `NO_LIMITS`."""

MEMORY_VARIABLE = "STACKEDMOS_MEMORY_PER_CLIP"
"""Environment variable with the limit in MiB."""

NO_LIMITS = "none"
"""Audio is then decoded in the process that asks for it, which it may take down."""


class Limits(NamedTuple):
    """Limits of one clip.

    Parameters
    ----------
    seconds : float
    mebibytes : int
        Beyond what the decoding process has when it starts.
    """

    seconds: float = 60.0
    mebibytes: int = 4096


def limits() -> Limits | None:
    """The limits of this process, by its environment; None where there are none.

    Raises
    ------
    UsageError
        When a variable is set to something else than a positive number.
    """
    seconds = os.environ.get(SECONDS_VARIABLE, "")
    mebibytes = os.environ.get(MEMORY_VARIABLE, "")
    return _parsed(seconds.strip().lower(), mebibytes.strip())


@functools.lru_cache(maxsize=8)
def _parsed(seconds: str, mebibytes: str) -> Limits | None:
    if seconds == NO_LIMITS:
        return None
    usual = Limits()
    return Limits(
        seconds=_positive(SECONDS_VARIABLE, seconds, usual.seconds),
        mebibytes=int(_positive(MEMORY_VARIABLE, mebibytes, usual.mebibytes)),
    )


def _positive(variable: str, text: str, usual: float) -> float:
    if not text:
        return usual
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    # A week and a terabyte; also false for NaN.
    if not 1 <= value <= 2**20:
        or_none = f", or '{NO_LIMITS}'" if variable == SECONDS_VARIABLE else ""
        raise UsageError(
            f"The environment variable {variable} is '{text[:40]}'; it takes a number "
            f"from 1 to {2**20}{or_none}."
        )
    return value
