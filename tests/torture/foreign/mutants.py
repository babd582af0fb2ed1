"""Mutants of JSON values, of arrays and of bytes, that keep most of their structure."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

HOSTILE = (
    None,
    True,
    0,
    -1,
    1,
    2**31,
    2**63,
    -(10**30),
    10**400,
    0.5,
    -1.5,
    1e308,
    -1e-320,
    "",
    "\x00",
    "nan",
    "../../etc/passwd",
    "/dev/zero",
    "https://127.0.0.1:9/x",
    "a" * 5_000,
    "\u202e[red]\x1b[2J",
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"__class__": "os.system", "args": ["true"]},
    {"py/object": "subprocess.Popen"},
)
"""Values in place of any other one."""
_DTYPES = ("int8", "int64", "uint8", "float16", "float32", "float64", "bool")


def mutant_json(value: Any, rng: np.random.Generator, edits: int | None = None) -> Any:
    """A copy of a parsed JSON value with one to three edits somewhere inside."""
    box = [copy.deepcopy(value)]
    for _ in range(int(rng.integers(1, 4)) if edits is None else edits):
        places = list(_places(box))
        holder, key = places[int(rng.integers(len(places)))]
        _EDITS[int(rng.integers(len(_EDITS)))](holder, key, rng)
        # An edit may take away the only value.
        if not box:
            box.append({})
    return box[0]


def _places(holder: Any, most: int = 400) -> Iterator[tuple[Any, Any]]:
    """Every place of a value, by the container that it is in and its key there."""
    waiting = [holder]
    n_places = 0
    while waiting and n_places < most:
        inside = waiting.pop(0)
        keys = list(inside) if isinstance(inside, dict) else range(len(inside))
        # Long lists are alike inside.
        for key in list(keys)[:30]:
            yield inside, key
            n_places += 1
            if isinstance(inside[key], dict | list):
                waiting.append(inside[key])


def _replace(holder: Any, key: Any, rng: np.random.Generator) -> None:
    holder[key] = copy.deepcopy(HOSTILE[int(rng.integers(len(HOSTILE)))])


def _remove(holder: Any, key: Any, rng: np.random.Generator) -> None:
    del holder[key]


def _double(holder: Any, key: Any, rng: np.random.Generator) -> None:
    if isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[f"{key}2"] = holder[key]


def _rename(holder: Any, key: Any, rng: np.random.Generator) -> None:
    value = holder.pop(key)
    if isinstance(holder, dict):
        holder[f"{key[:-1]}x"] = value


def _swap(holder: Any, key: Any, rng: np.random.Generator) -> None:
    keys = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    other = keys[int(rng.integers(len(keys)))]
    holder[key], holder[other] = holder[other], holder[key]


def _wrap(holder: Any, key: Any, rng: np.random.Generator) -> None:
    value = holder[key]
    wrapped: tuple[Any, ...] = ([value], {"x": value}, str(value), [value] * 1_000)
    holder[key] = wrapped[int(rng.integers(len(wrapped)))]


def _nudge(holder: Any, key: Any, rng: np.random.Generator) -> None:
    value = holder[key]
    if isinstance(value, bool) or value is None:
        holder[key] = not value
    elif isinstance(value, int | float):
        factors = (-1, 0, 2, 1_000, 10**9)
        holder[key] = value * factors[int(rng.integers(len(factors)))] + 1
    elif isinstance(value, str):
        holder[key] = value[::-1] or "x"
    elif isinstance(value, list):
        holder[key] = value[: len(value) // 2]
    else:
        holder[key] = list(value)


_EDITS = (_replace, _replace, _remove, _double, _rename, _swap, _wrap, _nudge, _nudge)


def mutant_arrays(
    arrays: Mapping[str, np.ndarray], rng: np.random.Generator
) -> dict[str, np.ndarray]:
    """A copy of named arrays in which one or two of them are others."""
    changed = dict(arrays)
    for _ in range(int(rng.integers(1, 3))):
        if not changed:
            break
        names = sorted(changed)
        name = names[int(rng.integers(len(names)))]
        other = names[int(rng.integers(len(names)))]
        kind = int(rng.integers(10))
        if kind == 0:
            del changed[name]
        elif kind == 1:
            changed[f"{name}x"] = changed.pop(name)
        elif kind == 2:
            changed[name], changed[other] = changed[other], changed[name]
        elif kind == 3:
            changed[f"{name}.more"] = changed[name]
        else:
            changed[name] = np.ascontiguousarray(_other_array(changed[name], rng))
    return changed


def _other_array(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kind = int(rng.integers(8))
    if kind == 0:
        with np.errstate(all="ignore"):
            return np.nan_to_num(array.astype(_DTYPES[int(rng.integers(len(_DTYPES)))]))
    if kind == 1:
        return array.reshape(-1)
    if kind == 2:
        return array[None]
    if kind == 3:
        return array.T
    if kind == 4 and array.ndim:
        return array[: len(array) // 2]
    if kind == 5 and array.ndim:
        return np.concatenate([array, array])
    if kind == 6:
        return np.zeros((0, *array.shape[1:]), array.dtype)
    return _extreme(array, rng)


def _extreme(array: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The array with one number, or all of them, at an end of what its type holds."""
    if array.dtype.kind == "f":
        most = float(np.finfo(array.dtype).max)
        values = (most, -most, 0.0, -1.0, 1e-30)
    elif array.dtype.kind in "iu":
        info = np.iinfo(array.dtype)
        values = (info.max, info.min, 0, 1, info.max // 2)
    else:
        return ~array
    value = values[int(rng.integers(len(values)))]
    changed = array.copy().reshape(-1)
    if len(changed):
        at = int(rng.integers(len(changed)))
        changed[at if rng.integers(2) else slice(None)] = value
    return changed.reshape(array.shape)


def mutant_bytes(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with some flipped, cut, repeated, put in, or set to one value."""
    changed = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(len(changed) + 1))
        n_bytes = int(rng.integers(1, 33))
        kind = int(rng.integers(7))
        if kind == 0:
            del changed[at:]
        elif kind == 1:
            del changed[at : at + n_bytes]
        elif kind == 2:
            changed[at:at] = changed[:n_bytes]
        elif kind == 3:
            changed[at:at] = rng.bytes(n_bytes)
        elif kind == 4:
            changed[at : at + n_bytes] = b"\xff" * len(changed[at : at + n_bytes])
        elif at < len(changed):
            changed[at] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def mutant_tensors(data: bytes, rng: np.random.Generator) -> bytes:
    """A safetensors file with an edited header: names, types, shapes, places."""
    n_bytes = int.from_bytes(data[:8], "little")
    header = mutant_json(json.loads(data[8 : 8 + n_bytes]), rng)
    text = json.dumps(header).encode()
    claimed = len(text)
    # A length that lies, now and then.
    if rng.integers(8) == 0:
        claimed = int(rng.integers(2**63)) >> int(rng.integers(63))
    return claimed.to_bytes(8, "little") + text + data[8 + n_bytes :]
