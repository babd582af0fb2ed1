"""The footer of a Parquet file, read as far as sizes and compressions go.

pyarrow ends the process when it is asked for the columns of some damaged footers, so
that what has to be known of them is read here: a struct of Thrift's compact protocol
(apache/parquet-format, ``parquet.thrift``; apache/thrift,
``doc/specs/thrift-compact-protocol.md``).
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

MAGIC = b"PAR1"
_MOST_DEPTH = 16
"""Structs and lists in each other; a footer has 8."""

# Fields by their numbers in parquet.thrift.
_NUM_ROWS = 3
_ROW_GROUPS = 4
_COLUMNS = 1
_META_DATA = 3
_CODEC = 4
_NUM_VALUES = 5

_TRUE = 1
_FALSE = 2
_BYTE = 3
_NUMBERS = (4, 5, 6)
_DOUBLE = 7
_BINARY = 8
_LISTS = (9, 10)
_MAP = 11
_STRUCT = 12


class ParquetFooter(NamedTuple):
    """What a footer declares.

    Parameters
    ----------
    n_rows : of the file
    n_values : of all columns and row groups together
    codecs : numbers of the compressions, as in parquet.thrift
    """

    n_rows: int
    n_values: int
    codecs: frozenset[int]


def parquet_footer(data: bytes) -> ParquetFooter:
    """Read the footer.

    Raises
    ------
    ValueError
        when the bytes are not those of a Parquet file.
    """
    if len(data) < 12 or data[:4] != MAGIC or data[-4:] != MAGIC:
        raise ValueError("it is no Parquet file, or was cut off")
    n_bytes = int.from_bytes(data[-8:-4], "little")
    if n_bytes > len(data) - 12:
        raise ValueError("its footer is longer than the file")
    try:
        about = _Reader(data[-8 - n_bytes : -8]).read_struct(0)
        columns = [
            column[_META_DATA]
            for group in about[_ROW_GROUPS]
            for column in group[_COLUMNS]
        ]
        return ParquetFooter(
            n_rows=int(about[_NUM_ROWS]),
            n_values=sum(int(column[_NUM_VALUES]) for column in columns),
            codecs=frozenset(int(column[_CODEC]) for column in columns),
        )
    except (LookupError, TypeError, struct.error) as error:
        raise ValueError("its footer is damaged") from error


class _Reader:
    """Values of Thrift's compact protocol, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def read_struct(self, depth: int) -> dict[int, Any]:
        """The fields of a struct by their numbers."""
        fields: dict[int, Any] = {}
        number = 0
        while True:
            head = self._byte()
            kind = head & 15
            if kind == 0:
                return fields
            step = head >> 4
            number = number + step if step else self._number()
            # The kind of a field of true or false is its value.
            is_flag = kind in (_TRUE, _FALSE)
            fields[number] = kind == _TRUE if is_flag else self._value(kind, depth)

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _MOST_DEPTH:
            raise ValueError("its footer is nested too deeply")
        if kind in (_TRUE, _FALSE, _BYTE):
            return self._byte()
        if kind in _NUMBERS:
            return self._number()
        if kind == _DOUBLE:
            return struct.unpack("<d", self._bytes(8))[0]
        if kind == _BINARY:
            return self._bytes(self._varint())
        if kind in _LISTS:
            head = self._byte()
            length = head >> 4 if head >> 4 < 15 else self._varint()
            # Each item takes a byte at least.
            self._check_left(length)
            return [self._value(head & 15, depth + 1) for _ in range(length)]
        if kind == _MAP:
            return self._map(depth)
        if kind == _STRUCT:
            return self.read_struct(depth + 1)
        raise ValueError("its footer is damaged")

    def _map(self, depth: int) -> list[tuple[Any, Any]]:
        length = self._varint()
        if length == 0:
            return []
        self._check_left(length)
        kinds = self._byte()
        return [
            (self._value(kinds >> 4, depth + 1), self._value(kinds & 15, depth + 1))
            for _ in range(length)
        ]

    def _number(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ValueError("its footer is damaged")

    def _byte(self) -> int:
        byte = self._data[self._at]
        self._at += 1
        return byte

    def _bytes(self, length: int) -> bytes:
        self._check_left(length)
        self._at += length
        return self._data[self._at - length : self._at]

    def _check_left(self, length: int) -> None:
        if length > len(self._data) - self._at:
            raise ValueError("its footer is damaged")
