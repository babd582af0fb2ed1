"""What the decoding process and the process that asks it write to each other.

A message is its length in four bytes, a record in JSON, and the numbers of an array
where the record announces one. Nothing in it can run code: a process that a hostile
file has taken over may write what it wants.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np

Record = dict[str, Any]

_LENGTH = struct.Struct("<I")
_MAX_RECORD = 1 << 24
_TYPES = ("float32", "float64")


class BrokenMessage(Exception):
    """The other side has ended, or writes what is no message."""


def packed(record: Record, array: np.ndarray | None = None) -> list[memoryview]:
    """The parts of a message, to be written one after the other."""
    if array is not None:
        array = np.ascontiguousarray(array)
        record = record | {"dtype": str(array.dtype), "shape": list(array.shape)}
    # ASCII, so that names of files that are not UTF-8 come through.
    data = json.dumps(record).encode("ascii")
    parts = [memoryview(_LENGTH.pack(len(data)) + data)]
    if array is not None and array.size:
        parts.append(array.data.cast("B"))
    return parts


def unpacked(
    fill: Callable[[memoryview], None], max_bytes: int
) -> tuple[Record, np.ndarray | None]:
    """Read a message.

    Parameters
    ----------
    fill : callable
        Fills a buffer with the next bytes of the other side, or raises `BrokenMessage`.
    max_bytes : int
        What an array may have; checked before there is room for it.

    Raises
    ------
    BrokenMessage
        When what comes is no message.
    """
    start = bytearray(_LENGTH.size)
    fill(memoryview(start))
    (length,) = _LENGTH.unpack(start)
    if length > _MAX_RECORD:
        raise BrokenMessage(f"a record of {length:,} bytes")
    data = bytearray(length)
    fill(memoryview(data))
    try:
        record = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise BrokenMessage("a record that is not JSON") from error
    if not isinstance(record, dict):
        raise BrokenMessage("a record that is no object")
    if "shape" not in record:
        return record, None

    shape = record.pop("shape")
    dtype = record.pop("dtype", None)
    is_shape = isinstance(shape, list) and all(type(n) is int and n >= 0 for n in shape)
    if not is_shape or len(shape) > 2 or dtype not in _TYPES:
        raise BrokenMessage("an array of another kind")
    n_numbers = 1
    for length in shape:
        n_numbers *= length
    if n_numbers * np.dtype(dtype).itemsize > max_bytes:
        raise BrokenMessage("an array beyond the limit")
    array = np.empty(shape, dtype=dtype)
    if array.size:
        fill(array.data.cast("B"))
    return record, array
