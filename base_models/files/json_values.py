"""JSON that is strict in both directions, and the hash of bytes."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from typing import Any

from base_models.errors import DamagedArtifact

_GUARD = "sha256"
"""Key of the hash of all other keys of an object."""
_SCALARS = frozenset({str, int, float, bool, type(None)})


def sha256(data: bytes) -> str:
    """Hex SHA-256 of `data`."""
    return hashlib.sha256(data).hexdigest()


def to_json(value: Any) -> bytes:
    """Canonical JSON (sorted keys, no NaN): equal values have equal bytes and hashes.

    See `nan_to_none` for values that may hold NaN.
    """
    if isinstance(value, list):
        # Long lists of short texts are what is hashed of large tables. The library
        # writes lists that are not indented many times as fast.
        items = [_flat_list(item) or _indented(item, 1) for item in value]
        text = "[\n " + ",\n ".join(items) + "\n]" if items else "[]"
    else:
        text = _indented(value, 0)
    return text.encode()


def _flat_list(value: Any) -> str | None:
    """JSON of a list in a list, if it is one of scalars alone that is not empty."""
    is_flat = isinstance(value, list | tuple) and _SCALARS.issuperset(map(type, value))
    if not is_flat or not value:
        return None
    text = json.dumps(
        value, allow_nan=False, ensure_ascii=False, separators=(",\n  ", ": ")
    )
    return "[\n  " + text[1:-1] + "\n ]"


def _indented(value: Any, depth: int) -> str:
    """JSON of a value that stands so many lists deep."""
    text = json.dumps(
        value, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False
    )
    # Texts hold no line breaks, which are escaped.
    return text.replace("\n", "\n" + " " * depth)


def nan_to_none(values: Any) -> Any:
    """Values for `to_json`: None in place of NaN and infinity, which JSON cannot hold.

    Parameters
    ----------
    values : DataFrame, mapping, list, tuple, or a single value

    Returns
    -------
    known : list of one dict per row for a DataFrame, dict for a mapping, list for a
        list or tuple; any other value as it is, unless it is a missing one

    Examples
    --------
    >>> nan_to_none({"value": 0.5, "low": float("nan"), "n": [1, float("inf")]})
    {'value': 0.5, 'low': None, 'n': [1, None]}
    >>> import numpy as np
    >>> import pandas as pd
    >>> nan_to_none(pd.DataFrame({"model": ["a", "b"], "mse": [0.5, np.nan]}))
    [{'model': 'a', 'mse': 0.5}, {'model': 'b', 'mse': None}]
    """
    # numpy's float64 is a float; integers, strings and booleans stay as they are.
    if isinstance(values, float):
        return values if math.isfinite(values) else None
    if values is None or isinstance(values, str | int):
        return values
    if isinstance(values, Mapping):
        return {key: nan_to_none(value) for key, value in values.items()}
    if isinstance(values, list | tuple):
        return [nan_to_none(value) for value in values]

    # Imported late: what has no table in it is written without pandas.
    import pandas as pd

    if isinstance(values, pd.DataFrame):
        return nan_to_none(values.to_dict("records"))
    return None if values is pd.NA or values is pd.NaT else values


def from_json(data: bytes, name: str) -> Any:
    """Parse strict JSON: UTF-8, no duplicate keys, no NaN or infinity.

    Raises
    ------
    DamagedArtifact
        naming `name`, when `data` is not strict JSON.
    """
    try:
        return json.loads(
            data.decode(),
            object_pairs_hook=_unique_keys,
            parse_constant=_finite_number,
            parse_float=_finite_number,
        )
    except RecursionError as error:
        raise DamagedArtifact(
            f"{name} is not valid JSON (nested too deeply)."
        ) from error
    except ValueError as error:
        reason = str(error)
        # Python's own words are about a setting of the interpreter.
        if "int_max_str_digits" in reason:
            reason = "a number has too many digits"
        raise DamagedArtifact(f"{name} is not valid JSON ({reason}).") from error


def guarded_json(values: Mapping[str, Any]) -> bytes:
    """An object as JSON that tells when it was changed, see `from_guarded_json`.

    For small files that no manifest lists. A key ``"sha256"`` holds the hash of all
    others.
    """
    own = {key: value for key, value in values.items() if key != _GUARD}
    return to_json({**own, _GUARD: sha256(to_json(own))})


def from_guarded_json(data: bytes, name: str, known: Collection[str]) -> dict[str, Any]:
    """Parse what `guarded_json` made, byte for byte.

    Parameters
    ----------
    data : contents of the file
    name : of the file, for messages
    known : every key that there may be; files of older versions have no hash, so that
        nothing else shows that a key was changed

    Raises
    ------
    DamagedArtifact
        when the bytes are others than were written.
    """
    values = from_json(data, name)
    if not isinstance(values, dict):
        raise DamagedArtifact(f"{name} holds no JSON object.")
    guard = values.pop(_GUARD, None)
    if guard is None:
        unknown = [key for key in values if key not in known]
        if unknown:
            raise DamagedArtifact(
                f"{name} was changed after it was written: "
                f"{ascii(unknown[0])[:100]} is no key of it."
            )
    elif data != guarded_json(values):
        raise DamagedArtifact(
            f"{name} was changed after it was written (SHA-256 differs)."
        )
    return values


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # json itself keeps the last of two equal keys silently.
    values = dict(pairs)
    if len(values) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return values


def _finite_number(text: str) -> float:
    # json itself accepts NaN, and reads 1e999 as infinity.
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a finite number")
    return number
