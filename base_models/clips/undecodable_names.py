"""Names of files whose bytes are no text, written as text.

Linux takes any bytes for a name. Tables, JSON and terminals take text: there such a
name has ``\\xe9`` for a byte that is none, and whoever opens the file finds it by that.
"""

from __future__ import annotations

import re

_BYTE = re.compile(r"\\x([89a-f][0-9a-f])")


def as_text(name: str) -> str:
    r"""A name from the file system, with the bytes written out that are no text.

    Examples
    --------
    >>> import os
    >>> print(as_text(os.fsdecode(b"caf\xe9.wav")))
    caf\xe9.wav
    >>> as_text("café.wav")
    'café.wav'
    """
    return "".join(
        f"\\x{ord(char) - 0xDC00:02x}" if 0xDC80 <= ord(char) <= 0xDCFF else char
        for char in name
    )


def from_text(name: str) -> str:
    r"""The name as the file system has it; names without such bytes are themselves.

    Examples
    --------
    >>> import os
    >>> os.fsencode(from_text(r"caf\xe9.wav"))
    b'caf\xe9.wav'
    """
    return _BYTE.sub(lambda match: chr(0xDC00 + int(match[1], 16)), name)
