"""The text of a file, whichever encoding it was saved in.

UTF-8 and UTF-16 are recognised beyond doubt. Of the many encodings with one byte per
letter only Windows-1252 is read, which spreadsheet programs of Western Europe write:
statistical detectors take short tables for one of its neighbours (charset-normalizer
3.5 names cp1250 for German and French headers), and the wrong one turns names into
others unnoticed.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from base_models.clips.tables.limits import check_bytes
from base_models.clips.text_table import check_is_file
from base_models.errors import UsageError, machine_fault

_MARKS = (
    # The mark of UTF-32 begins with that of UTF-16, so it is looked for first.
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UTF8_LETTER = re.compile(
    rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}"
)
_NOT_WESTERN = re.compile(
    # Five letters in a row that are not ASCII: Cyrillic, Greek, Chinese, Japanese.
    rb"[\x80-\xff]{5}"
    # Quotes and signs within a word: umlauts of Mac and DOS code pages.
    rb"|[A-Za-z][\x80-\x84\x86-\x89\x8b\x91\x93-\x95\x98\x99\x9b][A-Za-z]"
    rb"|[a-z][\x8a\x8c\x8e\x9f][a-z]"
)
_HIGH = re.compile(rb"[\x80-\xff]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
SAVE_AS = "save it as UTF-8"


def read_any_text(path: Path) -> tuple[str, str]:
    """All text of a file, without its byte order mark, and the name of its encoding.

    Returns
    -------
    text : str
    encoding : ``"UTF-8"``, ``"UTF-16"``, ``"UTF-32"`` or ``"Windows-1252"``

    Raises
    ------
    UsageError
        when the file is missing, not a regular file, empty, too large (see
        `base_models.clips.tables.limits`), unreadable, in no encoding
        that is known (naming line and column of the first broken byte), or holds a NUL.
    """
    check_is_file(path)
    check_bytes(path, path.stat().st_size)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise machine_fault(error, path) or UsageError(
            f"{path} cannot be read: {error.strerror}."
        ) from error

    text, encoding = _decode(data, path)
    if "\0" in text:
        raise UsageError(
            f"{path} holds a NUL byte: it is not a text file; {SAVE_AS} text."
        )
    if not text.strip():
        raise UsageError(f"{path} is empty.")
    return text, encoding


def _decode(data: bytes, path: Path) -> tuple[str, str]:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return _decode_as(data, encoding, path), encoding.upper()
    if b"\0" in data:
        unmarked = _utf16_without_mark(data)
        if unmarked is not None:
            return unmarked, "UTF-16"
    try:
        return data.decode("utf-8-sig"), "UTF-8"
    except UnicodeDecodeError as error:
        place = _place(data, error.start)
        broken = data[error.start]

    # A file whose other letters are UTF-8 has a broken byte. One of Windows-1252 has
    # no such pairs of letters, as "Ã¼".
    n_letters = len(_UTF8_LETTER.findall(data))
    n_others = len(_HIGH.findall(_UTF8_LETTER.sub(b"", data)))
    is_utf8 = data.startswith(codecs.BOM_UTF8) or n_letters >= n_others
    strange = _NOT_WESTERN.search(data)
    if is_utf8 or (n_letters and strange is None):
        raise UsageError(
            f"{path}, {place}: byte 0x{broken:02x} is not UTF-8, which the rest of the "
            f"file is; mend it there, or {SAVE_AS}."
        )
    if strange is not None:
        raise UsageError(
            f"{path}, {_place(data, strange.start())}: the text is neither UTF-8 nor "
            f"Windows-1252; {SAVE_AS}."
        )
    return _decode_as(data, "cp1252", path), "Windows-1252"


def _decode_as(data: bytes, encoding: str, path: Path) -> str:
    name = "Windows-1252" if encoding == "cp1252" else encoding.upper()
    try:
        return data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        place = f"byte {error.start}"
        if encoding == "cp1252":
            place = _place(data, error.start)
        raise UsageError(
            f"{path}, {place}: 0x{data[error.start]:02x} is not {name} text; {SAVE_AS}."
        ) from error


def _utf16_without_mark(data: bytes) -> str | None:
    """The text of UTF-16 whose mark is missing, or None where it is something else.

    The wrong order of bytes makes other letters of separators and line breaks.
    """
    found = []
    for encoding, zeros in (("utf-16-le", data[1::2]), ("utf-16-be", data[0::2])):
        # Digits, separators and line ends have a zero each, at places of one parity.
        if len(data) % 2 or zeros.count(0) < len(data) / 20:
            continue
        try:
            text = data.decode(encoding)
        except UnicodeDecodeError:
            continue
        if re.search("[\r\n]", text) and not _CONTROL.search(text):
            found.append(text)
    return found[0] if len(found) == 1 else None


def _place(data: bytes, position: int) -> str:
    """Line and column of a byte, counted from 1, in a file of one-byte line ends."""
    before = re.split(rb"\r\n|\n|\r", data[:position])
    # Columns are letters: a letter of UTF-8 begins with a byte outside 0x80..0xbf.
    column = len(re.sub(rb"[\x80-\xbf]", b"", before[-1])) + 1
    return f"line {len(before)}, column {column}"


def read_text(path: Path) -> str:
    """All text of a file in UTF-8 or UTF-16, where nobody would read a note.

    Raises
    ------
    UsageError
        as `read_any_text`, and for Windows-1252.
    """
    text, encoding = read_any_text(path)
    if encoding == "Windows-1252":
        raise UsageError(f"{path} is not UTF-8 text; {SAVE_AS}.")
    return text
